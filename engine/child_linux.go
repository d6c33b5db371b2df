package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// The engine's process is this program once more, known by its name. It takes
// its way here before main and the packages above this one: they would cost
// time, and no program that opens an engine can forget to ask for it.
func init() {
	if len(os.Args) == 2 && os.Args[0] == processName {
		os.Exit(runProcess())
	}
}

// controlFD is the descriptor of the socket to the process that opened the engine.
const controlFD = 3

// runProcess is the engine's process: it brings up a daemon, serves the
// connections that it is handed, and ends when it is told to or when the other
// process has ended.
func runProcess() int {
	unix.CloseOnExec(controlFD)
	control, err := unixConn(controlFD)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s is started by osbuildkit only: %v\n", processName, err)
		return 2
	}
	p := &child{control: control, listener: newListener()}
	steps, err := cleanProcess()
	if err == nil {
		var open *settings
		if open, err = p.receiveSettings(); err == nil {
			err = p.run(open, daemonOptions{settings: *open, ulimits: steps, notify: p.notify})
		}
	}
	if err != nil {
		_ = p.send(message{Failed: err.Error()}) // else nobody is there
		return 1
	}
	return 0
}

// child is the engine's process seen from inside.
type child struct {
	control  *net.UnixConn
	listener *listener
}

func (p *child) receiveSettings() (*settings, error) {
	m, _, err := p.receive()
	if err == nil && m.Open == nil {
		err = errors.New("the first message has no settings")
	}
	return m.Open, err
}

// run brings the daemon up, serves, and closes it. The error is one of the start.
func (p *child) run(_ *settings, o daemonOptions) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// Orderly is false when nobody is there any more who waits for an answer.
	ended := make(chan bool, 1)
	go func() {
		ended <- p.follow()
		cancel()
	}()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	d, err := startDaemon(ctx, o, p.listener)
	if err != nil {
		return err
	}
	if err := p.send(message{Ready: true}); err != nil {
		return d.close(false)
	}
	orderly := false
	select {
	case orderly = <-ended:
	case <-signals:
	}
	text := ""
	if err := d.close(orderly); err != nil {
		text = err.Error()
	}
	_ = p.send(message{Closed: &text})
	return nil
}

// follow takes connections until it is told to close, which is true, or the
// other process is gone.
func (p *child) follow() bool {
	for {
		m, conn, err := p.receive()
		switch {
		case err != nil:
			return false
		case m.Close:
			return true
		case m.Connect && conn != nil:
			p.listener.push(conn)
		}
	}
}

// receive reads one message and the connection that came with it.
func (p *child) receive() (m message, conn net.Conn, err error) {
	data, rights := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4))
	n, nr, _, _, err := p.control.ReadMsgUnix(data, rights)
	if err != nil {
		return m, nil, err
	}
	if n == 0 {
		return m, nil, net.ErrClosed
	}
	control, err := unix.ParseSocketControlMessage(rights[:nr])
	if err != nil {
		return m, nil, err
	}
	for _, c := range control {
		fds, err := unix.ParseUnixRights(&c)
		if err != nil {
			return m, nil, err
		}
		for _, fd := range fds {
			f := os.NewFile(uintptr(fd), "connection")
			conn, err = net.FileConn(f)
			if err := errors.Join(err, f.Close()); err != nil {
				return m, nil, err
			}
		}
	}
	return m, conn, json.Unmarshal(data[:n], &m)
}

func (p *child) send(m message) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(data) > maxMessage {
		return p.send(message{Failed: "an error whose text is too long: see the log"})
	}
	_, err = p.control.Write(data)
	return err
}

// notify tells the user a line.
func (p *child) notify(line string) { _ = p.send(message{Notice: line}) }

// listener is a net.Listener of the connections that are pushed to it.
type listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newListener() *listener {
	return &listener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *listener) push(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.done:
		c.Close()
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: "embedded"} }
