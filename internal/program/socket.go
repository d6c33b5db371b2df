package program

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Bounds of what a module may send.
const (
	maxMessage  = 1 << 20
	maxClients  = 64
	maxMetadata = 16 << 20
	maxPassed   = 8 // descriptors with one message
)

// exception is what osbuild.api sends when a module has raised one. Its
// traceback has been printed by then.
type exception struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// message is what a module sends to the socket "osbuild". Metadata is the
// number of the descriptor that holds it.
type message struct {
	Method    string          `json:"method"`
	Exception *exception      `json:"exception"`
	Metadata  json.RawMessage `json:"metadata"`
}

// server answers on the two sockets that a module of osbuild may talk to. One
// goroutine does all: what a module has sent before it has ended is in the
// kernel's queue, and close reads that before it returns.
type server struct {
	contract []byte   // what is given to those who ask for it here
	log      *os.File // where setup-stdio lets a module write to; may be nil
	packets  bool     // SOCK_SEQPACKET, else SOCK_DGRAM

	osbuild, loop int   // listening sockets
	clients       []int // their connections
	wake          [2]int
	done          chan struct{}

	// Set when close has returned.
	exception *exception
	metadata  []byte
	asked     bool     // for a loop device
	notes     []string // what is to be said about messages
}

// listen makes the sockets and answers on them until close is called.
func listen(s server, osbuild, loop string) (*server, error) {
	s.osbuild, s.loop, s.wake, s.done = -1, -1, [2]int{-1, -1}, make(chan struct{})
	kind := unix.SOCK_DGRAM
	if s.packets {
		kind = unix.SOCK_SEQPACKET
	}
	open := func(path string) (int, error) {
		fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return -1, fmt.Errorf("the socket %s: %w", path, err)
		}
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
		if err == nil && s.packets {
			err = unix.Listen(fd, maxClients)
		}
		if err != nil {
			return -1, errors.Join(fmt.Errorf("the socket %s: %w", path, err), unix.Close(fd))
		}
		return fd, nil
	}
	var err error
	if s.osbuild, err = open(osbuild); err == nil {
		if s.loop, err = open(loop); err == nil {
			err = unix.Pipe2(s.wake[:], unix.O_CLOEXEC)
		}
	}
	if err != nil {
		s.closeAll()
		return nil, err
	}
	go s.serve()
	return &s, nil
}

// close ends the service after what has been sent is read.
func (s *server) close() {
	_ = unix.Close(s.wake[1]) // seen as a hang-up by serve
	s.wake[1] = -1
	<-s.done
	s.closeAll()
}

func (s *server) closeAll() {
	for _, fd := range append(s.clients, s.osbuild, s.loop, s.wake[0], s.wake[1]) {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	s.clients = nil
}

func (s *server) serve() {
	defer close(s.done)
	for {
		fds := make([]unix.PollFd, 0, maxClients+3)
		for _, fd := range append([]int{s.wake[0], s.osbuild, s.loop}, s.clients...) {
			if fd == s.osbuild && len(s.clients) == maxClients {
				fd = -1 // nobody is let in until one has left
			}
			fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for s.pass() {
		}
		if fds[0].Revents != 0 {
			return
		}
	}
}

// pass reads what is there and reports whether there was anything.
func (s *server) pass() bool {
	busy := false
	if !s.packets {
		for _, fd := range []int{s.osbuild, s.loop} {
			_, ok := s.receive(fd, fd == s.loop)
			busy = busy || ok
		}
		return busy
	}
	if fd, _, err := unix.Accept4(s.loop, unix.SOCK_CLOEXEC); err == nil {
		s.asked, busy = true, true
		_ = unix.Close(fd)
	}
	if len(s.clients) < maxClients {
		if fd, _, err := unix.Accept4(s.osbuild, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK); err == nil {
			s.clients, busy = append(s.clients, fd), true
		}
	}
	kept := s.clients[:0]
	for _, fd := range s.clients {
		open, ok := s.receive(fd, false)
		busy = busy || ok
		if open {
			kept = append(kept, fd)
		} else {
			_ = unix.Close(fd)
		}
	}
	s.clients = kept
	return busy
}

// receive reads one message, if there is one, and answers it.
func (s *server) receive(fd int, loop bool) (open, ok bool) {
	data, control := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4*maxPassed))
	n, cn, flags, from, err := unix.Recvmsg(fd, data, control, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return true, false
	case err != nil:
		return false, false
	case n == 0 && cn == 0 && s.packets:
		return false, true // the other end has closed
	}
	passed := descriptors(control[:cn])
	defer func() {
		for _, f := range passed {
			_ = f.Close()
		}
	}()
	if loop {
		s.asked = true
		return true, true
	}
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		s.note("it has sent a message to the API that is larger than %d KiB", maxMessage>>10)
		return true, true
	}
	s.handle(data[:n], passed, func(reply any, files ...*os.File) error {
		text, err := json.Marshal(reply)
		if err != nil {
			return err
		}
		var rights []int
		for _, f := range files {
			rights = append(rights, int(f.Fd()))
		}
		to := from
		if s.packets {
			to = nil // a connection knows its other end
		}
		return unix.Sendmsg(fd, text, unix.UnixRights(rights...), to, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	})
	return true, true
}

// descriptors returns the files that came with a message.
func descriptors(control []byte) []*os.File {
	var out []*os.File
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			out = append(out, os.NewFile(uintptr(fd), "a descriptor of the module"))
		}
	}
	return out
}

// note keeps what is to be said at the end. A module that sends nonsense in a
// loop is not to fill the log.
func (s *server) note(format string, args ...any) {
	if len(s.notes) < 10 {
		s.notes = append(s.notes, fmt.Sprintf(format, args...))
	}
}

// handle does what one message asks for.
func (s *server) handle(data []byte, passed []*os.File, reply func(any, ...*os.File) error) {
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		s.note("it has sent a message to the API that is no JSON object: %v", err)
		return
	}
	var err error
	switch m.Method {
	case "exception":
		if m.Exception != nil {
			s.exception = m.Exception
		}
	case "add-metadata":
		err = s.addMetadata(m.Metadata, passed)
	case "get-arguments":
		err = withText(s.contract, func(f *os.File) error { return reply(map[string]any{"type": "fd", "fd": 0}, f) })
	case "setup-stdio":
		err = withText(s.contract, func(f *os.File) error {
			log := s.log
			if log == nil {
				if log, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0); err != nil {
					return err
				}
				defer log.Close()
			}
			return reply(map[string]int{"stdin": 0, "stdout": 1, "stderr": 2}, f, log, log)
		})
	default:
		s.note("it has asked the API for %q, which is not known", clip(m.Method))
		err = reply(map[string]any{"type": "error", "error": "unknown method"})
	}
	if err != nil {
		s.note("answering %q on the API: %v", clip(m.Method), err)
	}
}

// addMetadata reads the descriptor that a message names.
func (s *server) addMetadata(number json.RawMessage, passed []*os.File) error {
	i := 0
	if err := json.Unmarshal(number, &i); err != nil || i < 0 || i >= len(passed) {
		return errors.New("the message names no descriptor that came with it")
	}
	st, err := passed[i].Stat()
	if err != nil {
		return err
	}
	// Reading anything else may never end.
	if !st.Mode().IsRegular() || st.Size() > maxMetadata {
		return fmt.Errorf("metadata is a regular file of at most %d MiB", maxMetadata>>20)
	}
	s.metadata, err = io.ReadAll(io.NewSectionReader(passed[i], 0, maxMetadata))
	return err
}

// withText calls fn with a file that exists in memory only and holds text.
func withText(text []byte, fn func(*os.File) error) error {
	fd, err := unix.MemfdCreate("osbuild", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "memfd")
	defer f.Close()
	if _, err := io.Copy(f, bytes.NewReader(text)); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return fn(f)
}
