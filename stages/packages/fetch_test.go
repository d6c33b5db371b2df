package packages

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/testca"
	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/rpmmd"
)

// newAuthority returns an authority, a client that it knows, and one that it
// does not.
func newAuthority(t *testing.T) (a *testca.Authority, client, stranger testca.Pair) {
	t.Helper()
	a, err := testca.New()
	if err != nil {
		t.Fatal(err)
	}
	if client, err = a.Client(); err != nil {
		t.Fatal(err)
	}
	other, err := testca.New()
	if err != nil {
		t.Fatal(err)
	}
	if stranger, err = other.Client(); err != nil {
		t.Fatal(err)
	}
	return a, client, stranger
}

// secretFiles writes secrets.
func secretFiles(t *testing.T, files map[string][]byte) map[string]string {
	t.Helper()
	dir, out := t.TempDir(), map[string]string{}
	for name, data := range files {
		out[name] = filepath.Join(dir, name)
		if err := os.WriteFile(out[name], data, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestFetch(t *testing.T) {
	t.Parallel()
	a, client, stranger := newAuthority(t)
	content := bytes.Repeat([]byte("content\n"), 100_000)
	sum := rpmmd.RepomdChecksum(content)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/file":
			_, _ = w.Write(content)
		case "/moved":
			http.Redirect(w, r, "/file", http.StatusFound)
		case "/in-the-open":
			http.Redirect(w, r, "http://"+r.Host+"/file", http.StatusFound)
		case "/broken":
			http.Error(w, "out of order", http.StatusServiceUnavailable)
		case "/cut":
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(content)
		default:
			http.NotFound(w, r)
		}
	}))
	var err error
	if server.TLS, err = a.Server(); err != nil {
		t.Fatal(err)
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that are refused
	server.StartTLS()
	t.Cleanup(server.Close)
	all := map[string][]byte{SecretCA: a.Certificate, SecretCertificate: client.Certificate, SecretKey: client.Key}
	cases := []struct {
		name, path, checksum string
		secrets              map[string][]byte
		insecure             bool
		code                 int // 0 is success
		python, curl         string
	}{
		{name: "all", path: "/file", checksum: sum, secrets: all},
		{name: "both in one file", path: "/file", secrets: map[string][]byte{SecretCA: a.Certificate, SecretCertificate: append(bytes.Clone(client.Certificate), client.Key...)}},
		{name: "insecure", path: "/file", checksum: sum, secrets: map[string][]byte{SecretCertificate: client.Certificate, SecretKey: client.Key}, insecure: true},
		{name: "moved", path: "/moved", checksum: sum, secrets: all},
		{name: "moved to where all can read", path: "/in-the-open", secrets: all, code: FetchRefused, python: "which is not HTTPS", curl: "not supported"},
		{name: "another file", path: "/file", checksum: "sha256:" + strings.Repeat("0", 64), secrets: all, code: FetchOther, python: "has the checksum " + sum, curl: "has the checksum " + sum},
		{name: "not there", path: "/none", secrets: all, code: FetchRefused, python: "the server answers 404 Not Found", curl: "404"},
		{name: "out of order", path: "/broken", secrets: all, code: 1, python: "the server answers 503 Service Unavailable", curl: "503"},
		{name: "cut", path: "/cut", secrets: all, code: 1, python: "the connection ended after 800000 of 1000000 bytes", curl: "bytes remaining"},
		{name: "server unknown", path: "/file", secrets: map[string][]byte{SecretCertificate: client.Certificate, SecretKey: client.Key}, code: 1, python: "no authority that the build root trusts", curl: "certificate"},
		{name: "no certificate", path: "/file", secrets: map[string][]byte{SecretCA: a.Certificate}, code: 1, python: "certificate required", curl: "certificate required"},
		{name: "a stranger's", path: "/file", secrets: map[string][]byte{SecretCA: a.Certificate, SecretCertificate: stranger.Certificate, SecretKey: stranger.Key}, code: 1},
		{name: "key of another", path: "/file", secrets: map[string][]byte{SecretCA: a.Certificate, SecretCertificate: client.Certificate, SecretKey: stranger.Key}, code: 1, python: "the client's certificate or its private key cannot be used"},
		{name: "no PEM", path: "/file", secrets: map[string][]byte{SecretCA: []byte("x"), SecretCertificate: client.Certificate, SecretKey: client.Key}, code: 1, python: "the certificates of authorities cannot be read"},
	}
	for _, with := range []string{"python3", "curl"} {
		file := "/usr/bin/" + with
		if _, err := os.Stat(file); err != nil {
			t.Logf("%s is not there", file)
			continue
		}
		for _, c := range cases {
			t.Run(c.name+", "+with, func(t *testing.T) {
				t.Parallel()
				out := t.TempDir()
				options, err := json.Marshal(FetchOptions{URL: server.URL + c.path, File: "name.rpm", Checksum: c.checksum, Insecure: c.insecure})
				if err != nil {
					t.Fatal(err)
				}
				// A build root with this program alone.
				root := t.TempDir()
				treetest.Program(t, filepath.Join(root, file), []byte("#!/bin/sh\nexec "+file+" \"$@\"\n"))
				var said bytes.Buffer
				err = fetchFile(t.Context(), &module.Input{Tree: t.TempDir(), OutputDir: out, BuildRoot: root, Options: options, Log: &said,
					Secrets: secretFiles(t, c.secrets)})
				if c.code == 0 {
					if err != nil {
						t.Fatal(err)
					}
					if got, err := os.ReadFile(filepath.Join(out, "name.rpm")); err != nil || !bytes.Equal(got, content) {
						t.Errorf("%d bytes, %v", len(got), err)
					}
					return
				}
				want := c.python
				if with == "curl" {
					want = c.curl
				}
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("got %v, want %q", err, want)
				}
				var code module.ExitCode
				if !errors.As(err, &code) {
					code = 1
				}
				// curl does not tell its kinds of refusal apart.
				if int(code) != c.code && with == "python3" {
					t.Errorf("exit code %d, want %d", code, c.code)
				}
				if strings.Contains(said.String()+err.Error(), "PRIVATE KEY") {
					t.Error("a secret is shown")
				}
			})
		}
	}
}

// TestFetchAuthorized downloads with credentials that end in a line end. No other
// server is sent them.
func TestFetchAuthorized(t *testing.T) {
	t.Parallel()
	const credentials = `Basic "b3Ni\=`
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("other " + r.Header.Get("Authorization")))
	}))
	t.Cleanup(other.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != credentials:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/file", http.StatusFound)
		case r.URL.Path == "/away":
			http.Redirect(w, r, other.URL, http.StatusFound)
		default:
			_, _ = w.Write([]byte("content"))
		}
	}))
	t.Cleanup(server.Close)
	for _, with := range []string{"python3", "curl"} {
		file := "/usr/bin/" + with
		if _, err := os.Stat(file); err != nil {
			t.Logf("%s is not there", file)
			continue
		}
		for _, c := range []struct{ secret, path, want, fails string }{
			{credentials + "\n", "/file", "content", ""},
			{credentials + "\r\n", "/moved", "content", ""},
			{credentials, "/away", "other ", ""},
			{"Basic x\n", "/file", "", "401"},
			{"Basic x\nX: y\n", "/file", "", "is no header of HTTP"},
			{"\n", "/file", "", "it is empty"},
		} {
			t.Run(with+" "+c.path, func(t *testing.T) {
				t.Parallel()
				options, err := json.Marshal(FetchOptions{URL: server.URL + c.path, File: "name"})
				if err != nil {
					t.Fatal(err)
				}
				root := makeTree(t, nil)
				treetest.Program(t, filepath.Join(root, file), []byte("#!/bin/sh\nexec "+file+" \"$@\"\n"))
				var said bytes.Buffer
				in := &module.Input{Tree: t.TempDir(), OutputDir: t.TempDir(), BuildRoot: root, Options: options, Log: &said,
					Secrets: secretFiles(t, map[string][]byte{SecretAuthorization: []byte(c.secret)})}
				err = fetchFile(t.Context(), in)
				if c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error()+said.String(), "Basic x")) {
					t.Errorf("got %v, want %q", err, c.fails)
				}
				report := fetchReport(t, in)
				if c.fails != "" {
					if !strings.Contains(report.Text, c.fails) || report.Code != 1 && report.Code != FetchRefused || strings.Contains(report.Text, "Basic x") {
						t.Errorf("reported is %+v, want %q", report, c.fails)
					}
					return
				}
				if err != nil || report != (FetchReport{}) {
					t.Fatal(err, report)
				}
				if got, err := os.ReadFile(filepath.Join(in.OutputDir, "name")); err != nil || string(got) != c.want {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
	}
}

// TestLookAtAuthorization says who can send credentials.
func TestLookAtAuthorization(t *testing.T) {
	t.Parallel()
	for secret, want := range map[string]string{"Basic x": AuthorizationPlain, "Basic x\n": AuthorizationLine, "Basic x\r\n": AuthorizationLine, "a\nb\n": "", "": "", "\n": ""} {
		in := &module.Input{OutputDir: t.TempDir(), Secrets: secretFiles(t, map[string][]byte{SecretAuthorization: []byte(secret)})}
		err := lookAtSecrets(t.Context(), in)
		if got, _ := os.ReadFile(filepath.Join(in.OutputDir, AuthorizationFile)); string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", secret, got, err)
		}
	}
	// None is needed if all is in the cache.
	in := &module.Input{OutputDir: t.TempDir(), Secrets: map[string]string{SecretAuthorization: filepath.Join(t.TempDir(), "none")}}
	if err := lookAtSecrets(t.Context(), in); err != nil {
		t.Error(err)
	}
}

func TestLookAtSecrets(t *testing.T) {
	t.Parallel()
	a, client, _ := newAuthority(t)
	for name, c := range map[string]struct {
		secrets map[string][]byte
		err     string
	}{
		"all":               {map[string][]byte{SecretCA: a.Certificate, SecretCertificate: client.Certificate, SecretKey: client.Key}, ""},
		"no key":            {map[string][]byte{SecretCA: a.Certificate, SecretCertificate: append(client.Certificate, client.Key...)}, ""},
		"two in each other": {map[string][]byte{SecretCertificate: client.Certificate, SecretKey: client.Certificate}, `as "key" is not a private key in PEM form`},
		"DER":               {map[string][]byte{SecretCA: {0x30, 0x82}}, `as "ca" is not a certificate in PEM form`},
	} {
		err := lookAtSecrets(t.Context(), &module.Input{Secrets: secretFiles(t, c.secrets)})
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFetchContract(t *testing.T) {
	t.Parallel()
	for options, want := range map[string]string{
		`{"url": "http://a.example/x", "file": "x"}`:          "is no https address",
		`{"url": "https://a.example/\"x", "file": "x"}`:       "is no https address",
		`{"url": "https://a.example/x", "file": "../x"}`:      "no plain name",
		`{"url": "https://a.example/x", "file": ""}`:          "no plain name",
		`{"url": "https://a.example/x", "file": "x"}`:         "has neither",
		`{"url": "https://a.example/x", "file": "x", "y": 1}`: "unknown field",
	} {
		err := fetchFile(t.Context(), &module.Input{Tree: t.TempDir(), OutputDir: t.TempDir(), BuildRoot: t.TempDir(), Options: json.RawMessage(options)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", options, err)
		}
	}
}

// fetchReport runs the part once more so that it reports what goes wrong.
func fetchReport(t *testing.T, in *module.Input) FetchReport {
	t.Helper()
	var o FetchOptions
	if err := in.DecodeOptions(&o); err != nil {
		t.Fatal(err)
	}
	o.Report = true
	again := *in
	var err error
	if again.Options, err = json.Marshal(o); err != nil {
		t.Fatal(err)
	}
	again.OutputDir = t.TempDir()
	if err := fetchFile(t.Context(), &again); err != nil {
		t.Fatal("with a report it fails:", err)
	}
	data, err := os.ReadFile(filepath.Join(again.OutputDir, o.File+ReportSuffix))
	if err != nil {
		t.Fatal(err)
	}
	var report FetchReport
	if len(data) > 0 {
		err = json.Unmarshal(data, &report)
	}
	if err != nil {
		t.Fatal(err)
	}
	return report
}
