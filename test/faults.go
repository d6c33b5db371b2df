package test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
)

// FaultKind is a way to fail.
type FaultKind int

// The ways in which a server can fail.
const (
	// NotFound answers 404.
	NotFound FaultKind = iota
	// Hang answers nothing until the fault is lifted or the client goes.
	Hang
	// Corrupt changes one byte in the middle of the file.
	Corrupt
	// Truncate promises the whole file and ends the connection after half.
	Truncate
)

// Fault is a failure that a server has been told to show.
type Fault struct {
	// Hit is closed when the first request meets the fault.
	Hit chan struct{}

	kind    FaultKind
	pattern string
	hit     sync.Once
	lifted  chan struct{}
	lift    sync.Once
}

// Lift ends the fault. It may be called more than once.
func (f *Fault) Lift() { f.lift.Do(func() { close(f.lifted) }) }

func (f *Fault) active() bool {
	select {
	case <-f.lifted:
		return false
	default:
		return true
	}
}

// faulty is the part of a server that counts requests and can be told to fail.
type faulty struct {
	faultsMu sync.Mutex
	requests []string
	faults   []*Fault
}

// Inject makes requests fail whose path matches the pattern of path.Match, or
// ends in it. Paths are relative to the server's prefix, as in "pool/main/h/hello/*".
func (s *faulty) Inject(kind FaultKind, pattern string) *Fault {
	f := &Fault{kind: kind, pattern: pattern, Hit: make(chan struct{}), lifted: make(chan struct{})}
	s.faultsMu.Lock()
	defer s.faultsMu.Unlock()
	s.faults = append(s.faults, f)
	return f
}

// Requests returns the number of requests so far whose path matches the
// pattern, as for Inject.
func (s *faulty) Requests(pattern string) int { return len(s.Requested(pattern)) }

// Requested lists the paths that were asked for and match the pattern, as for
// Inject, in the order of the requests.
func (s *faulty) Requested(pattern string) []string {
	s.faultsMu.Lock()
	defer s.faultsMu.Unlock()
	var out []string
	for _, r := range s.requests {
		if matches(pattern, r) {
			out = append(out, r)
		}
	}
	return out
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok || strings.HasSuffix(name, pattern)
}

// liftAll ends all faults.
func (s *faulty) liftAll() {
	s.faultsMu.Lock()
	defer s.faultsMu.Unlock()
	for _, f := range s.faults {
		f.Lift()
	}
}

// meet counts a request and answers it where a fault says so that needs no
// file. A fault that is returned is for serveFile.
func (s *faulty) meet(w http.ResponseWriter, r *http.Request, name string) (fault *Fault, answered bool) {
	fault = s.note(name)
	if fault == nil {
		return nil, false
	}
	fault.hit.Do(func() { close(fault.Hit) })
	switch fault.kind {
	case NotFound:
		http.NotFound(w, r)
		return nil, true
	case Hang:
		select {
		case <-fault.lifted:
		case <-r.Context().Done():
			return nil, true
		}
		return nil, false
	}
	return fault, false
}

// note counts a request and returns the fault that it meets, if any.
func (s *faulty) note(name string) *Fault {
	s.faultsMu.Lock()
	defer s.faultsMu.Unlock()
	s.requests = append(s.requests, name)
	for _, f := range s.faults {
		if f.active() && matches(f.pattern, name) {
			return f
		}
	}
	return nil
}

// damaged sends a file as no good mirror would.
func damaged(w http.ResponseWriter, file string, kind FaultKind) {
	data, err := os.ReadFile(file)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	if kind == Truncate {
		// The server notices that less was written than promised and closes.
		_, _ = w.Write(data[:len(data)/2])
		return
	}
	data = bytes.Clone(data)
	data[len(data)/2] ^= 0xff
	_, _ = w.Write(data)
}

// serveFile sends a file, damaged where there is a fault.
func serveFile(w http.ResponseWriter, r *http.Request, file string, fault *Fault) {
	if fault != nil {
		damaged(w, file, fault.kind)
		return
	}
	f, err := os.Open(file)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", fmt.Sprintf("%q", strconv.FormatInt(st.Size(), 16)+"-"+strconv.FormatInt(st.ModTime().UnixNano(), 16)))
	http.ServeContent(w, r, "", st.ModTime(), f)
}
