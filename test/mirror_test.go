package test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// upstreamOf serves one file and counts how often it is asked for.
func upstreamOf(t *testing.T, body string) (string, *atomic.Int64) {
	t.Helper()
	var count atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, ".deb") && !strings.HasSuffix(r.URL.Path, "/InRelease") {
			http.NotFound(w, r)
			return
		}
		count.Add(1)
		w.Header().Set("Last-Modified", "Sat, 01 Aug 2026 10:00:00 GMT")
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/archive", &count
}

func get(t *testing.T, ctx context.Context, address string, header ...string) (int, string, http.Header, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res.StatusCode, string(data), res.Header, err
}

func TestMirrorKeepsFiles(t *testing.T) {
	t.Parallel()
	upstream, count := upstreamOf(t, "content")
	dir := t.TempDir()
	for round := range 2 {
		m, err := StartMirror(upstream, "", dir)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for range 3 {
			for _, name := range []string{"/pool/a.deb", "/dists/x/InRelease"} {
				code, body, _, err := get(t, t.Context(), m.URL()+name)
				if code != 200 || body != "content" || err != nil {
					t.Errorf("%s: %d %q %v", name, code, body, err)
				}
			}
		}
		if code, _, _, _ := get(t, t.Context(), m.URL()+"/pool/missing"); code != 404 {
			t.Errorf("a missing file: %d", code)
		}
		// The package is fetched once for ever, the release once a mirror.
		if n := count.Load(); n != int64(2+round) {
			t.Errorf("round %d: %d requests at the upstream", round, n)
		}
		if n := m.Requests("pool/*.deb"); n != 3 {
			t.Errorf("%d requests are counted", n)
		}
	}
}

func TestMirrorConditional(t *testing.T) {
	t.Parallel()
	upstream, _ := upstreamOf(t, "content")
	m, err := StartMirror(upstream, "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	_, _, h, err := get(t, t.Context(), m.URL()+"/a.deb")
	if err != nil || h.Get("ETag") == "" || h.Get("Last-Modified") != "Sat, 01 Aug 2026 10:00:00 GMT" {
		t.Fatal(h, err)
	}
	if code, body, _, _ := get(t, t.Context(), m.URL()+"/a.deb", "If-None-Match", h.Get("ETag")); code != 304 || body != "" {
		t.Errorf("with the ETag: %d %q", code, body)
	}
	if code, _, _, _ := get(t, t.Context(), m.URL()+"/a.deb", "If-None-Match", `"other"`); code != 200 {
		t.Errorf("with another ETag: %d", code)
	}
}

func TestMirrorFaults(t *testing.T) {
	t.Parallel()
	upstream, _ := upstreamOf(t, "0123456789")
	m, err := StartMirror(upstream, "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const file = "/pool/main/h/hello/hello_1.deb"
	for _, tt := range []struct {
		kind FaultKind
		code int
		body string
		bad  bool
	}{
		{NotFound, 404, "404 page not found\n", false},
		{Corrupt, 200, "01234\xca6789", false},
		{Truncate, 200, "01234", true},
	} {
		f := m.Inject(tt.kind, "pool/main/h/hello/*")
		code, body, _, err := get(t, t.Context(), m.URL()+file)
		if code != tt.code || body != tt.body || (err != nil) != tt.bad {
			t.Errorf("fault %d: %d %q %v", tt.kind, code, body, err)
		}
		select {
		case <-f.Hit:
		default:
			t.Errorf("fault %d is not reported as hit", tt.kind)
		}
		if code, body, _, err := get(t, t.Context(), m.URL()+"/pool/other.deb"); code != 200 || body != "0123456789" || err != nil {
			t.Errorf("another file: %d %q %v", code, body, err)
		}
		f.Lift()
		if code, body, _, err := get(t, t.Context(), m.URL()+file); code != 200 || body != "0123456789" || err != nil {
			t.Errorf("after fault %d: %d %q %v", tt.kind, code, body, err)
		}
	}
	f := m.Inject(Hang, "hello_1.deb")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, _, err := get(t, ctx, m.URL()+file); err == nil {
		t.Error("a hanging request was answered")
	}
	time.AfterFunc(50*time.Millisecond, f.Lift)
	if code, _, _, err := get(t, t.Context(), m.URL()+file); code != 200 || err != nil {
		t.Errorf("after the hang: %d %v", code, err)
	}
}
