package stages

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

// growTree has the programs that the unit of org.osbuildkit.grow runs.
func growTree() treetest.Tree {
	program := treetest.File("").Perm(0o755)
	return treetest.Tree{
		"usr/lib/systemd/systemd-growfs": program, "usr/sbin/sfdisk": program, "usr/bin/partx": program, "usr/bin/findmnt": program, "usr/bin/flock": program,
	}
}

func TestGrow(t *testing.T) {
	t.Parallel()
	const unit, wants = "etc/systemd/system/osbuildkit-grow@.service", "etc/systemd/system/local-fs.target.wants/osbuildkit-grow@"
	text, program, link := treetest.File(growUnit), treetest.File(string(growScript)).Perm(0o755), treetest.Link("/"+unit)
	runCases(t, "org.osbuildkit.grow", []treeCase{
		{name: "root", before: growTree(), options: `{}`, after: treetest.Tree{growProgram: program, unit: text, wants + "-.service": link}},
		{name: "another", before: growTree(), options: `{"path": "/srv/my-data"}`, after: treetest.Tree{growProgram: program, unit: text, wants + `srv-my\x2ddata.service`: link}},
		{name: "both", before: growTree().With(treetest.Tree{growProgram: program, unit: text, wants + "-.service": link}), options: `{"path": "/home"}`,
			after: treetest.Tree{growProgram: program, unit: text, wants + "home.service": link}},
		{name: "programs elsewhere", before: treetest.Tree{
			"usr/lib/systemd/systemd-growfs": treetest.File(""), "usr/bin/sfdisk": treetest.Link("x"), "usr/bin/x": treetest.File(""), "bin": treetest.Link("usr/bin"),
			"usr/bin/partx": treetest.File(""), "usr/bin/findmnt": treetest.File(""), "usr/bin/flock": treetest.File(""),
		}, options: `{"path": "/"}`, after: treetest.Tree{growProgram: program, unit: text, wants + "-.service": link}},
		{name: "no sfdisk", before: growTree().Without("usr/sbin/sfdisk"), options: `{}`, err: "the tree has no sfdisk: put this stage after the one that installs it (fdisk in Debian"},
		{name: "no systemd", before: growTree().Without("usr/lib/systemd/systemd-growfs"), options: `{}`, err: "the tree has no systemd-growfs"},
		{name: "a directory in the way", before: growTree().With(treetest.Tree{wants + "-.service": treetest.Dir(0o755)}), options: `{}`, err: "is a directory"},
	})
}

func TestGrowCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuildkit.grow", []checkCase{
		{`{}`, nil},
		{`{"path": "/"}`, nil},
		{`{"path": "/srv"}`, nil},
		{`{"path": "srv"}`, []string{`/path: "srv" is not a mount point: start it with /`}},
		{`{"path": "/srv/"}`, []string{"/path: \"/srv/\" is not a mount point: write /srv"}},
		{`{"path": "/a/../b"}`, []string{`/path: "/a/../b" is not a mount point: write /b`}},
		{`{"path": "/a\u0000"}`, []string{`/path: "/a\x00" is not a mount point: it holds a NUL byte or is longer than 128 bytes`}},
	})
}

// TestGrowInstance asks systemd how it names the instance of a unit.
func TestGrowInstance(t *testing.T) {
	t.Parallel()
	paths := []string{"/", "/srv", "/var/lib/postgresql", "/my-data", "/.hidden/x", "/a.b_c:d", "/with space", "/ümlaut", `/back\slash`, "/100%"}
	want := map[string]string{"/": "osbuildkit-grow@-.service", "/my-data": `osbuildkit-grow@my\x2ddata.service`, "/.hidden/x": `osbuildkit-grow@\x2ehidden-x.service`}
	for _, p := range paths {
		got := unitInstance(growTemplate, p)
		if w, ok := want[p]; ok && got != w {
			t.Errorf("%s: %s, want %s", p, got, w)
		}
		out, err := exec.CommandContext(t.Context(), "systemd-escape", "--path", "--template="+growTemplate, p).Output()
		if err != nil {
			continue // systemd is not everywhere
		}
		if w := strings.TrimSpace(string(out)); got != w {
			t.Errorf("%s: %s, and systemd-escape says %s", p, got, w)
		}
	}
}

// TestGrowScript has a shell read the program without running it.
func TestGrowScript(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "sh", "-n")
	cmd.Stdin = strings.NewReader(string(growScript))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
