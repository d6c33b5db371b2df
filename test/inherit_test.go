//go:build e2e

package test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInherit builds an archive in an empty store, each time in another state of the
// process that builds. The sums are the same: nothing of it reaches a result. What
// a step sees is compared by the tests of package engine.
func TestInherit(t *testing.T) {
	need(t, "bash")
	file := manifestFile(t, "inherit.json", object{"stages": edits(1, "inherit"), "assembler": stage("org.osbuild.tar", object{"filename": "inherit.tar"})})
	run := func(t *testing.T, script string) string {
		t.Helper()
		out := t.TempDir()
		args := append([]string{"-c", script, "bash", shared.program}, buildArgs("--store", t.TempDir(), "-o", out, file)...)
		p := start(t, exec.Command("bash", args...)).wait()
		if p.code() != 0 {
			t.Fatalf("exit code %d\n%s", p.code(), p.text())
		}
		// The files that it writes are the caller's, under the caller's umask.
		st, err := os.Stat(filepath.Join(out, "inherit.tar"))
		if err != nil {
			t.Fatal(err)
		}
		mode := fs.FileMode(0o644)
		switch {
		case strings.Contains(script, "umask 0077"):
			mode = 0o600
		case strings.Contains(script, "umask 0;"):
			mode = 0o666
		}
		if st.Mode() != mode {
			t.Errorf("the archive has the mode %o, want %o", st.Mode(), mode)
		}
		return sha256File(t, filepath.Join(out, "inherit.tar"))
	}
	want := run(t, `umask 022; exec "$@"`)
	for name, script := range map[string]string{
		"umask 0077":  `umask 0077; exec "$@"`,
		"umask 0":     `umask 0; exec "$@"`,
		"limits":      `umask 022; ulimit -Sn 64; ulimit -Ss 1024; exec "$@"`,
		"signals":     `trap '' HUP QUIT PIPE TSTP CHLD USR1; exec "$@"`,
		"descriptors": `exec 5</etc/passwd 6<>/dev/null 20</; exec "$@"`,
		"directory":   `cd /proc; exec "$@"`,
		"environment": `export LC_ALL=de_DE.UTF-8 TZ=Asia/Kolkata TMPDIR=/var/tmp GODEBUG=x=y POSIXLY_CORRECT=1; exec "$@"`,
		"nice":        `exec nice -n 15 "$@"`,
		"personality": `exec setarch linux32 -R --uname-2.6 "$@"`,
		"group":       `exec setpriv --groups 4,27 --regid 1000 "$@"`,
		"oom score":   `echo 500 >/proc/self/oom_score_adj; exec "$@"`,
		"one cpu":     `exec taskset -c 0 "$@"`,
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(t, script); got != want {
				t.Errorf("the archive has the sum %s in the place of %s", got, want)
			}
		})
	}
}
