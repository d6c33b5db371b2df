package lint_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/lint"
)

func TestDuplicateIdentifiers(t *testing.T) {
	t.Parallel()
	const (
		d    = "DuplicateIdentifier "
		opts = "/assembler/options/partitions/"
	)
	ext4 := func(label string) string { return `"filesystem": {"type": "ext4", "label": "` + label + `"}` }
	parts := func(list ...string) string {
		return `{"pttype": "gpt", "partitions": [{"size": 1, ` + strings.Join(list, `}, {"size": 1, `) + `}]}`
	}
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"users", of(stage("org.osbuild.users", `{"users": {"b": {"uid": 1000}, "a": {"uid": "1000"}, "c": {"uid": 1001}, "d": {}}}`)), []string{d + "/stages/0/options/users/a/uid"}},
		{"users of two stages", of(stage("org.osbuild.users", `{"users": {"a": {"uid": 1000}}}`), stage("org.osbuild.users", `{"users": {"b": {"uid": 1000}, "a": {"uid": 1000}}}`)),
			[]string{d + "/stages/1/options/users/b/uid"}},
		{"users of two trees", `{"build": {"stages": [` + stage("org.osbuild.users", `{"users": {"a": {"uid": 1000}}}`) + `, {"name": "com.example.own"}]}, "stages": [` + stage("org.osbuild.users", `{"users": {"b": {"uid": 1000}}}`) + `, {"name": "com.example.own"}]}`, nil},
		{"a user and a group", of(stage("org.osbuild.users", `{"users": {"a": {"uid": 1000}}}`), stage("org.osbuild.groups", `{"groups": {"b": {"gid": 1000}}}`)), nil},
		{"groups of two stages", of(stage("org.osbuild.groups", `{"groups": {"a": {"gid": 1000}}}`), stage("org.osbuild.groups", `{"groups": {"b": {"gid": 1000.0}}}`)), []string{d + "/stages/1/options/groups/b/gid"}},
		{"groups that may be there", of(stage("org.osbuild.groups", `{"groups": {"a": {"gid": 1000}}}`), stage("org.osbuild.groups", `{"force": true, "groups": {"b": {"gid": 1000}}}`)), nil},
		{"labels", qemu(noop, parts(ext4("data"), ext4("data"), ext4("other"), `"luks": {"label": "other", "volume_key": "derived"}`)),
			[]string{d + opts + "1/filesystem/label", d + opts + "2/filesystem/label"}},
		{"labels of volumes", qemu(noop, parts(ext4("data"), `"lvm": {"volumes": [{`+ext4("x")+`}, {`+ext4("data")+`}]}`)), []string{d + opts + "1/lvm/volumes/1/filesystem/label"}},
		{"labels that are cut", qemu(noop, parts(`"filesystem": {"type": "vfat", "label": "EFI System Partition"}`, ext4("EFI System"))),
			[]string{"ShortenedIdentifier " + opts + "0/filesystem/label", d + opts + "1/filesystem/label"}},
		{"names of partitions", qemu(noop, parts(`"name": "data"`, `"name": "data"`)), nil},
		{"names of partitions that are used", qemu(stage("org.osbuild.fstab", `{"filesystems": [{"partlabel": "data", "path": "/data"}]}`), parts(`"name": "data"`, `"name": "data"`)), []string{d + opts + "1/name"}},
		{"a disk and its partition", qemu(noop, `{"pttype": "gpt", "ptuuid": "`+one+`", "partitions": [{"size": 1, "uuid": "`+other+`"}, {"size": 1, "uuid": "`+strings.ToUpper(one)+`"}]}`), []string{d + opts + "1/uuid"}},
		{"anything", `{"stages": [` + stage("org.osbuild.users", `{"users": {"a": {"uid": [1]}, "b": 3}}`) + "," + stage("org.osbuild.groups", `{"groups": []}`) + `], "assembler": {"name": "org.osbuild.qemu", "options": {"partitions": {"name": 3}}}}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(c.want, found(t, c.text, lint.Config{})); d != "" {
				t.Errorf("%s\n%s", c.text, d)
			}
		})
	}
	m, modules := load(t, qemu(stage("org.osbuild.fstab", `{"filesystems": [{"label": "data", "path": "/data"}]}`), parts(ext4("data"), ext4("data"))))
	if got := lint.Run(m, modules, lint.Config{}); len(got) != 1 || got[0].Message != `"data" is the label of the file system in partitions/0 too, and org.osbuild.fstab looks for it: give each its own` {
		t.Errorf("%v", got)
	}
}
