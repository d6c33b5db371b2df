package test

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/osbuildkit/osbuildkit/test/rpmdistro"
)

// RPMMirrors are the mirrors of an RPMServer, the preferred one first. Their
// names are the first part of a path, for Inject and Requests.
var RPMMirrors = []string{"m1", "m2", "m3"}

// RPMServer serves the repositories of a made-up RPM distribution on loopback:
// each from several mirrors, which all are this server under another path,
// together with the metalink and the list of mirrors that name them.
type RPMServer struct {
	faulty

	dir      string
	listener net.Listener
	server   *http.Server
}

// StartRPMServer serves the output of rpmdistro.Make on a free port of
// loopback until Close.
func StartRPMServer(dir string) (*RPMServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &RPMServer{dir: dir, listener: l}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.server.Serve(l) }() // ends with Close
	return s, nil
}

// Close ends the server and lifts all faults.
func (s *RPMServer) Close() error {
	s.liftAll()
	return s.server.Close()
}

func (s *RPMServer) url(name string) string {
	return "http://" + s.listener.Addr().String() + "/" + name
}

// BaseURL returns the address of a repository at one mirror.
func (s *RPMServer) BaseURL(mirror, repo string) string { return s.url(mirror + "/" + repo) }

// Metalink returns the address of a repository's metalink. The path ends as
// that of the distributions does, in a query with variables.
func (s *RPMServer) Metalink(repo string) string {
	return s.url("metalink") + "?repo=" + repo + "-$releasever&arch=$basearch"
}

// Mirrorlist returns the address of a repository's list of mirrors.
func (s *RPMServer) Mirrorlist(repo string) string {
	return s.url("mirrorlist") + "?repo=" + repo + "-$releasever&arch=$basearch"
}

// Repomd returns the repomd.xml of a repository.
func (s *RPMServer) Repomd(repo string) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.dir, repo, "repodata/repomd.xml"))
}

// ServeHTTP answers one request.
func (s *RPMServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	fault, answered := s.meet(w, r, name)
	if answered {
		return
	}
	if name == "metalink" || name == "mirrorlist" {
		// The query is that of release 30 for x86_64, as the variables say.
		repo, ok := strings.CutSuffix(r.URL.Query().Get("repo"), "-30")
		if !ok || r.URL.Query().Get("arch") != "x86_64" {
			fmt.Fprintf(w, "# Bad Request. No such repository: %s\n", r.URL.RawQuery)
			return
		}
		s.mirrors(w, r, name, repo)
		return
	}
	mirror, rest, _ := strings.Cut(name, "/")
	repo, file, ok := strings.Cut(rest, "/")
	if !ok || !strings.HasPrefix(mirror, "m") {
		http.NotFound(w, r)
		return
	}
	// The packages of all repositories lie in one place.
	if !strings.HasPrefix(file, rpmdistro.Pool+"/") {
		file = repo + "/" + file
	}
	file = filepath.Join(s.dir, filepath.FromSlash(file))
	if st, err := os.Stat(file); err != nil || !st.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	serveFile(w, r, file, fault)
}

// mirrors answers with the metalink or the list of the mirrors of a repository.
func (s *RPMServer) mirrors(w http.ResponseWriter, r *http.Request, kind, repo string) {
	repomd, err := s.Repomd(repo)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	if kind == "mirrorlist" {
		fmt.Fprintf(w, "# repo = %s country = any\n", repo)
		for _, m := range RPMMirrors {
			fmt.Fprintln(w, s.BaseURL(m, repo)+"/")
		}
		return
	}
	fmt.Fprintf(w, `<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" type="dynamic" xmlns:mm0="http://fedorahosted.org/mirrormanager">
 <files>
  <file name="repomd.xml">
   <mm0:timestamp>1</mm0:timestamp>
   <size>%d</size>
   <verification>
    <hash type="sha256">%x</hash>
   </verification>
   <resources maxconnections="1">
`, len(repomd), sha256.Sum256(repomd))
	for i, m := range RPMMirrors {
		fmt.Fprintf(w, "    <url protocol=\"http\" type=\"http\" location=\"DE\" preference=\"%d\">%s/repodata/repomd.xml</url>\n", 100-10*i, s.BaseURL(m, repo))
	}
	fmt.Fprint(w, "   </resources>\n  </file>\n </files>\n</metalink>\n")
}
