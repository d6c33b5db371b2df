package llb

import (
	"strings"
	"testing"
)

// TestSourceErrors has sources that a stage cannot be given.
func TestSourceErrors(t *testing.T) {
	t.Parallel()
	sum, commit := "sha256:"+strings.Repeat("a", 64), strings.Repeat("c", 64)
	copied := `{"name": "org.osbuild.copy", "options": {"source": {"type": "archive", "checksum": "` + sum + `"}}}`
	deployed := `{"name": "org.osbuild.ostree", "options": {"commit": "` + commit + `", "osname": "x"}}`
	for _, c := range []struct{ stage, sources, err string }{
		{copied, `"org.osbuild.curl": {"urls": {"` + sum + `": {"url": "http://example.org", "insecure": true}}}`, `"insecure" and "secrets" have a meaning for https addresses only`},
		{copied, `"org.osbuild.curl": {"urls": {"` + sum + `": {"url": "https://example.org", "secrets": {"name": "a b"}}}}`, `"a b" is no "name" of secrets, such as "org.osbuild.mtls"`},
		{copied, `"org.osbuild.curl": {"urls": {"` + sum + `": "file:///etc/passwd"}}`, "give an http or https URL"},
		{deployed, `"org.osbuild.ostree": {"commits": {"` + commit + `": {}}}`, `has no "remote"`},
	} {
		m := testManifest(t, `{"pipeline": {"build": {"runner": "org.osbuild.linux", "pipeline": {"stages": [{"name": "org.osbuild.noop"}]}}, "stages": [`+c.stage+`]}, "sources": {`+c.sources+`}}`)
		if _, err := New(m, options(t)).Pipeline(t.Context(), "tree"); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", c.sources, err)
		}
	}
}
