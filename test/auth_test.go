//go:build e2e

package test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// TestAuth installs from a mirror that asks for credentials: they come from a
// secret of the build, and are found neither in the tree nor in what is shown.
func TestAuth(t *testing.T) {
	need(t)
	const credentials = "Basic b3NidWlsZGtpdDpzM2NyM3Q="
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != credentials {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		shared.mirror.ServeHTTP(w, r)
	}))
	defer server.Close()
	file := manifestFile(t, "auth.json", object{"stages": []any{
		bootstrap(),
		stage("org.osbuildkit.apt", object{
			"packages": []string{"hello"},
			"auth":     "mirror",
			"repos":    []any{object{"suite": suite, "mirror": server.URL + mirrorPrefix}},
		}),
	}})
	dir := t.TempDir()
	p := startBuild(t, "-o", dir, "--target", "tree", file).wait()
	if p.code() == 0 || len(files(t, dir)) > 0 {
		t.Errorf("without the secret: exit code %d, files %q", p.code(), files(t, dir))
	}
	t.Setenv("MIRROR_CREDENTIALS", credentials)
	p = build(t, "-o", dir, "--target", "tree", "--secret", "id=mirror,env=MIRROR_CREDENTIALS", file)
	leaks := 0
	tree := readTree(t, filepath.Join(dir, "tree.tar"), func(_ string, data []byte) {
		if bytes.Contains(data, []byte(credentials)) {
			leaks++
		}
	})
	if leaks > 0 || strings.Contains(p.text(), credentials) || strings.Contains(p.stdout.String(), credentials) {
		t.Errorf("the credentials are in %d files, or in what is shown", leaks)
	}
	if _, ok := tree["usr/bin/hello"]; !ok {
		t.Error("hello is not installed")
	}
}
