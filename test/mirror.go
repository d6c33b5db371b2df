package test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/osbuildkit/osbuildkit/debian"
)

// Paths below which a Mirror serves, and what stands before the names of files of
// security updates.
const (
	mirrorPrefix   = "/debian"
	securityPrefix = "/debian-security"
	securityName   = "security/"
)

// fetchTimeout bounds one attempt to fetch a file from the upstream mirror.
const fetchTimeout = 5 * time.Minute

// Upstream returns the address of the mirror that a suite comes from: the one
// that OSBUILDKIT_TEST_MIRROR names, else that of this machine's apt, else
// Debian's general mirror.
func Upstream(suite string) string {
	if m := os.Getenv("OSBUILDKIT_TEST_MIRROR"); m != "" {
		return debian.MirrorsOf(m, suite)[0]
	}
	if m := debian.MirrorsOfClient("/etc/apt", suite); len(m) > 0 {
		return m[0]
	}
	return debian.DefaultMirrors(suite, time.Now())[0]
}

// Mirror is a mirror of a package archive on loopback. It fetches each file
// from its upstream once and keeps it in a directory. Files below dists are
// asked for again by the first request of each Mirror, and served as they are
// then, so that the archive does not change under a running test.
type Mirror struct {
	upstream *url.URL
	security *url.URL
	dir      string
	listener net.Listener
	server   *http.Server

	faulty

	mu    sync.Mutex
	files map[string]*sync.Mutex
	fresh map[string]bool
}

// StartMirror serves the archive at the address upstream on a free port of
// loopback until Close, and beside it security updates from another upstream, if
// that is not "". Files are kept below dir.
func StartMirror(upstream, security, dir string) (*Mirror, error) {
	u, err := url.Parse(upstream)
	if err != nil {
		return nil, fmt.Errorf("upstream mirror: %w", err)
	}
	var s *url.URL
	if security != "" {
		if s, err = url.Parse(security); err != nil {
			return nil, fmt.Errorf("upstream mirror of security updates: %w", err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &Mirror{upstream: u, security: s, dir: dir, listener: l, files: map[string]*sync.Mutex{}, fresh: map[string]bool{}}
	m.server = &http.Server{Handler: m, ReadHeaderTimeout: time.Minute}
	go func() { _ = m.server.Serve(l) }() // ends with Close
	return m, nil
}

// URL returns the address of the mirror.
func (m *Mirror) URL() string { return "http://" + m.listener.Addr().String() + mirrorPrefix }

// Close ends the server and lifts all faults.
func (m *Mirror) Close() error {
	m.liftAll()
	return m.server.Close()
}

// ServeHTTP answers one request.
func (m *Mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(path.Clean(r.URL.Path), mirrorPrefix+"/")
	if rest, security := strings.CutPrefix(path.Clean(r.URL.Path), securityPrefix+"/"); security && m.security != nil {
		name, ok = securityName+rest, true
	}
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	fault, answered := m.meet(w, r, name)
	if answered {
		return
	}
	file, err := m.file(r.Context(), name)
	if err != nil {
		code := http.StatusBadGateway
		var status statusError
		if errors.As(err, &status) {
			code = int(status)
		}
		http.Error(w, err.Error(), code)
		return
	}
	serveFile(w, r, file, fault)
}

// of returns which upstream has a file, and the file's name there.
func (m *Mirror) of(name string) (*url.URL, string) {
	if below, ok := strings.CutPrefix(name, securityName); ok && m.security != nil {
		return m.security, below
	}
	return m.upstream, name
}

// statusError is an answer of the upstream that is not a file.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("the upstream mirror answers %d", int(e)) }

// file returns the kept copy of a file and fetches it if there is none. A
// file is fetched once, however many ask for it.
func (m *Mirror) file(ctx context.Context, name string) (string, error) {
	// One flat directory of hashed names: no name can lead out of it, and none
	// can be a file and a directory.
	upstream, below := m.of(name)
	sum := sha256.Sum256([]byte(upstream.String() + " " + below))
	kept := filepath.Join(m.dir, hex.EncodeToString(sum[:16]))
	m.mu.Lock()
	lock := m.files[name]
	if lock == nil {
		lock = new(sync.Mutex)
		m.files[name] = lock
	}
	m.mu.Unlock()
	lock.Lock()
	defer lock.Unlock()
	m.mu.Lock()
	fresh := m.fresh[name]
	m.mu.Unlock()
	_, err := os.Stat(kept)
	volatile := strings.HasPrefix(below, "dists/") && !strings.Contains(below, "/by-hash/")
	if err == nil && (!volatile || fresh) {
		return kept, nil
	}
	ferr := m.fetch(ctx, name, kept)
	if ferr != nil && err == nil {
		ferr = nil // yesterday's file is better than none
	}
	if ferr == nil {
		m.mu.Lock()
		m.fresh[name] = true
		m.mu.Unlock()
	}
	return kept, ferr
}

// fetch gets one file from the upstream; it gets its name when it is whole.
func (m *Mirror) fetch(ctx context.Context, name, kept string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	var err error
	for range 3 {
		if err = m.attempt(ctx, name, kept); err == nil || errors.As(err, new(statusError)) {
			return err
		}
		time.Sleep(time.Second)
	}
	return err
}

func (m *Mirror) attempt(ctx context.Context, name, kept string) error {
	upstream, below := m.of(name)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, upstream.JoinPath(below).String(), nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return statusError(res.StatusCode)
	}
	f, err := os.CreateTemp(m.dir, ".part-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	n, err := io.Copy(f, res.Body)
	err = errors.Join(err, f.Close())
	if err == nil && res.ContentLength >= 0 && n != res.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if when, err := http.ParseTime(res.Header.Get("Last-Modified")); err == nil {
		if err := os.Chtimes(f.Name(), when, when); err != nil {
			return err
		}
	}
	return os.Rename(f.Name(), kept)
}
