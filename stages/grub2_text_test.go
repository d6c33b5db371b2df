package stages

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

// What etc/default/grub has of a distributor is what a shell reads.
func TestGrub2Distributor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, line, value string }{
		{"Example", `"Example"`, "Example"},
		{`a "b" $HOME \ c`, `"a \"b\" \$HOME \\ c"`, `a "b" $HOME \ c`},
		{`$(echo release 9 | sed 's, release .*$,,g')`, `"$(echo release 9 | sed 's, release .*$,,g')"`, "release 9"},
		{`$(sed 's, release .*$,,g' FILE)`, `"$(sed 's, release .*$,,g' FILE)"`, "Example Linux"},
		{"`lsb_release -i -s 2> /dev/null || echo Debian`", "\"`lsb_release -i -s 2> /dev/null || echo Debian`\"", ""},
		{`My $(echo "a ) b $(echo c)") "$OS"`, `"My $(echo "a ) b $(echo c)") \"\$OS\""`, `My a ) b c "$OS"`},
		{`$(echo \))`, `"$(echo \))"`, ")"},
	} {
		release := filepath.Join(t.TempDir(), "release")
		if err := os.WriteFile(release, []byte("Example Linux release 9 (x)\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		o := Grub2Options{Config: &GrubConfig{Distributor: c.text}}
		if problems := o.Config.check(); len(problems) > 0 {
			t.Errorf("%s: %v", c.text, problems)
		}
		_, line, _ := strings.Cut(o.defaults("", true), "GRUB_DISTRIBUTOR=")
		line = strings.TrimSuffix(line, "\n")
		if line != c.line {
			t.Errorf("%s: written as %s, want %s", c.text, line, c.line)
		}
		if c.value == "" {
			continue
		}
		out, err := exec.Command("sh", "-c", "D="+strings.ReplaceAll(line, "FILE", release)+"; printf %s \"$D\"").Output()
		if err != nil || string(out) != c.value {
			t.Errorf("%s: a shell reads %q, want %q: %v", c.text, out, c.value, err)
		}
	}
	fs := `"root_fs_uuid": "` + rootUUID + `"`
	for _, text := range []string{"$(sed", "`date", `$(echo ')`, `$(echo ")`} {
		if n, ok := substitution(text); ok {
			t.Errorf("%s ends after %d bytes", text, n)
		}
	}
	runChecks(t, "org.osbuild.grub2", []checkCase{
		{`{` + fs + `, "config": {"distributor": "$(sed 's, release .*$,,g' /etc/system-release)"}}`, nil},
		{`{` + fs + `, "config": {"distributor": "a $(sed"}}`, []string{`/config/distributor: "$(sed" has no end`}},
	})
}

// Words of the manifest stay; variables of the distribution's entries, which
// nothing sets, are left out with a word in the log.
func TestGrub2WordsWithDollar(t *testing.T) {
	t.Parallel()
	entry := func(options string) treetest.Tree {
		return fedoraTree().Without("boot/loader/entries/ff-0-rescue.conf").With(treetest.Tree{
			"boot/loader/entries/ff-5.3.1.conf": treetest.File("title T\nversion 5.3.1\nlinux /boot/vmlinuz-5.3.1-1.fc30\noptions " + options + "\n")})
	}
	root := "root=UUID=" + rootUUID
	for _, c := range []struct {
		name, entry, opts, more, want, log string
	}{
		{"kept", "$kernelopts", "$ecret=1 $word rw", "", root + ` '$ecret=1' '$word' rw`, ""},
		{"kept with an entry's own", "root=UUID=x quiet $tuned_params", "$word", "", `root=UUID=x quiet '$word'`, "nothing sets $tuned_params"},
		{"left out, with a word", "$kernelopts $tuned_params ${other}", "rw", "", root + " rw", "nothing sets ${other}"},
		{"of the first boot", "$kernelopts $ignition_firstboot", "rw $ignition_firstboot", `, "ignition": true`, root + " rw $ignition_firstboot", ""},
		{"between", "a ${kernelopts} b", "rw", "", "a " + root + " rw b", ""},
		{"of another name", "$kernelopts_more", "rw", "", root + " rw", "nothing sets $kernelopts_more"},
		{"no variable", "$kernelopts $", "rw", "", root + " rw '$'", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, log, err := runGrub(t, entry(c.entry), buildRoot(), `{"root_fs_uuid": "`+rootUUID+`", "kernel_opts": "`+c.opts+`"`+c.more+`}`)
			if err != nil {
				t.Fatal(err)
			}
			cfg := menuOf(got)
			if d := cmp.Diff([]string{"menuentry T --id ff-5.3.1 {", "linux /boot/vmlinuz-5.3.1-1.fc30 " + c.want}, menuLines(cfg)); d != "" {
				t.Error(d)
			}
			checkScript(t, cfg)
			if !strings.Contains(log, c.log) || c.log == "" && strings.Contains(log, "nothing sets") {
				t.Errorf("log %q, want %q in it", log, c.log)
			}
		})
	}
}

// The name of the system is unquoted as os-release(5) says.
func TestGrub2PrettyName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, want string }{
		{`PRETTY_NAME="Bob's \"Linux\" \$1"`, `'Bob'\''s "Linux" $1 (6.12.5-amd64)'`},
		{`PRETTY_NAME=Plain`, `'Plain (6.12.5-amd64)'`},
		{`PRETTY_NAME='a "b"'`, `'a "b" (6.12.5-amd64)'`},
		{`PRETTY_NAME=""`, `'Linux (6.12.5-amd64)'`},
	} {
		before := debianTree().Without("boot/vmlinuz-6.9.1-amd64").With(treetest.Tree{"usr/lib/os-release": treetest.File("NAME=x\n" + c.line + "\n")})
		got, _, err := runGrub(t, before, buildRoot(), `{"root_fs_uuid": "`+rootUUID+`"}`)
		if err != nil {
			t.Fatal(err)
		}
		if lines := menuLines(menuOf(got)); len(lines) == 0 || lines[0] != "menuentry "+c.want+" --id 6.12.5-amd64 {" {
			t.Errorf("%s: %q", c.line, lines)
		}
		checkScript(t, menuOf(got))
	}
}
