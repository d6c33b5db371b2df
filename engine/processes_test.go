//go:build linux

package engine

import (
	"os"
	"os/exec"
	"testing"
)

// TestSharesProcesses looks whether an engine in a user namespace, and one where
// parts of /proc are covered, knows that it cannot keep processes apart.
func TestSharesProcesses(t *testing.T) {
	t.Parallel()
	if procIsMasked() {
		t.Skip("parts of /proc are covered here")
	}
	const cover = "mount --bind /dev/null /proc/kallsyms && "
	for _, c := range []struct{ name, script, want string }{
		{"in a user namespace", "", "false"},
		{"with a covered file", cover, "true"},
	} {
		cmd := exec.Command("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", c.script+"exec "+os.Args[0])
		cmd.Env = append(os.Environ(), roleVar+"=shares-processes")
		out, err := cmd.Output()
		if err != nil {
			t.Skip("user namespaces do not work here: ", err)
		}
		if string(out) != c.want {
			t.Errorf("%s: %s, want %s", c.name, out, c.want)
		}
	}
}
