package assemblers

import (
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

// TestOutputTimes looks at what assemblers leave in their output directory.
func TestOutputTimes(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{
		"org.osbuild.tar":           `{"filename": "a.tar"}`,
		"org.osbuild.oci-archive":   `{"filename": "a.tar", "architecture": "amd64"}`,
		"org.osbuild.ostree.commit": `{"ref": "a/b"}`,
		"org.osbuild.noop":          `{}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := treetest.New(t, treetest.Tree{"etc/hostname": treetest.File("a\n"), "usr/lib/file": treetest.File("x"), "boot": treetest.Dir(0o755), "var": treetest.Dir(0o755)})
			out, log, err := run(t, name, dir, "", options)
			if err != nil {
				t.Fatal(err, log)
			}
			err = filepath.WalkDir(out, func(p string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				st, err := d.Info()
				if err == nil && st.ModTime().Unix() != testEpoch {
					t.Errorf("%s has the time %v", p, st.ModTime())
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
