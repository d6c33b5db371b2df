package stages

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

// What may be an alias of what is decided as systemctl decides it.
func TestSystemdAliases(t *testing.T) {
	t.Parallel()
	systemctl, err := exec.LookPath("systemctl")
	if err != nil {
		t.Log("systemctl is not installed: not compared with it")
	}
	const template, plain = "foo@.service", "foo.service"
	for _, c := range []struct {
		file, unit, install string
		// links are the names below etc/systemd/system; an error is "error".
		links string
	}{
		{template, "foo@.service", "Alias=bar.service", "error"},
		{template, "foo@inst.service", "Alias=bar.service", "error"},
		{template, "foo@.service", "DefaultInstance=def\nAlias=bar.service", "error"},
		{template, "foo@inst.service", "DefaultInstance=def\nAlias=bar.service", "error"},
		{template, "foo@.service", "Alias=%p.service", "error"},
		{template, "foo@.service", "Alias=bar@.service", "bar@.service"},
		{template, "foo@inst.service", "Alias=bar@.service", "bar@inst.service"},
		{template, "foo@.service", "DefaultInstance=def\nAlias=bar@.service", "bar@.service"},
		{template, "foo@.service", "DefaultInstance=def\nAlias=bar@%i.service", "bar@def.service"},
		{template, "foo@.service", "Alias=bar@x.service", "bar@x.service"},
		{template, "foo@inst.service", "Alias=bar@x.service", "error"},
		{template, "foo@inst.service", "Alias=bar@inst.service", "bar@inst.service"},
		{template, "foo@inst.service", "Alias=foo@.service", ""},
		{template, "foo@.service", "Alias=a.target.wants/foo@.service", "error"},
		{template, "foo@.service", "Alias=a.target.wants/foo@inst.service", "a.target.wants/foo@inst.service"},
		{template, "foo@inst.service", "Alias=a.target.wants/foo@inst.service", "a.target.wants/foo@inst.service"},
		{template, "foo@inst.service", "Alias=a.target.wants/foo@def.service", "error"},
		{template, "foo@.service", "DefaultInstance=def\nAlias=a.target.wants/foo@def.service", "a.target.wants/foo@def.service"},
		{template, "foo@.service", "Alias=b@.target.wants/foo@.service", "b@.target.wants/foo@.service"},
		{template, "foo@inst.service", "Alias=b@.target.wants/foo@.service", "error"},
		{plain, "foo.service", "Alias=bar@.service", "error"},
		{plain, "foo.service", "Alias=foo@x.service", "error"},
		{plain, "foo.service", "Alias=bar.socket", "error"},
		{plain, "foo.service", "Alias=bar.service", "bar.service"},
		{plain, "foo.service", "Alias=a.target.wants/foo.service", "a.target.wants/foo.service"},
		{plain, "foo.service", "Alias=a.target.wants/bar.service", "error"},
	} {
		name := c.unit + " " + strings.ReplaceAll(c.install, "\n", " ")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := treetest.Tree{unitDir + c.file: treetest.File("[Service]\nExecStart=/bin/true\n[Install]\n" + c.install + "\n"), "etc/systemd/system": treetest.Dir(0o755)}
			ours := treetest.New(t, before)
			_, ourErr := runStage(t, "org.osbuild.systemd", ours, `{"enabled_services": ["`+c.unit+`"]}`)
			got := linksOf(treetest.Read(t, ours))
			want := map[string]string{}
			if c.links != "" && c.links != "error" {
				want["etc/systemd/system/"+c.links] = strings.TrimPrefix("/"+unitDir+c.file, "/usr")
			}
			if d := cmp.Diff(want, got); d != "" || (ourErr != nil) != (c.links == "error") {
				t.Errorf("%v %s", ourErr, d)
			}
			if systemctl == "" {
				return
			}
			theirs := treetest.New(t, before)
			out, theirErr := exec.Command(systemctl, "--root", theirs, "enable", "--", c.unit).CombinedOutput()
			if d := cmp.Diff(linksOf(treetest.Read(t, theirs)), got); d != "" || (theirErr == nil) != (ourErr == nil) {
				t.Errorf("systemctl: %v (%s); the stage: %v\n%s", theirErr, out, ourErr, d)
			}
		})
	}
}
