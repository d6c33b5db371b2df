//go:build e2e

package test

import (
	"archive/tar"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/test/rpmdistro"
)

// allowed are names of what may differ between the two: logs and caches, which
// are outside of the tree when the stage installs, the database and the
// history, whose rows are compared, and the machine id, which osbuild empties.
var allowed = regexp.MustCompile(`^(var/log/(dnf|hawkey)[^/]*|var/cache/(dnf|ldconfig)(/.*)?|var/lib/dnf/history\.sqlite.*|usr/lib/sysimage/rpm/.*|etc/machine-id)$`)

// TestRPMSameAsDnf compares what the stage installs with what the toolbox's
// dnf installs when it is run as root.
func TestRPMSameAsDnf(t *testing.T) {
	needDistribution(t)
	packages := []string{"@Core", "grub2-pc", "httpd", "example-reason0"}
	repo := repository(t, rpmdistro.Base)
	out, box := t.TempDir(), toolbox(t)
	build(t, "-o", out, "--target", "tree", manifestFile(t, "image.json", object{"stages": []any{dnf(repo, object{"clean": false}, packages...)}}))
	extract(t, filepath.Join(out, "tree.tar"), filepath.Join(box, "trees/ours"))
	epoch := query(t, box, "ours", "-q", "--qf", "%{INSTALLTIME}", "setup")
	if err := DirectDnf(t.Context(), box, epoch, repo["metalink"].(string), repo["gpgkey"].(string), packages...); err != nil {
		t.Fatal(err)
	}
	output(t, "tar", "--format=pax", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-C", filepath.Join(box, DirectTree), "-cf", filepath.Join(out, "direct.tar"), ".")

	ours, direct := readTree(t, filepath.Join(out, "tree.tar"), nil), readTree(t, filepath.Join(out, "direct.tar"), nil)
	for _, tree := range []map[string]entry{ours, direct} {
		sortLinks(tree)
		delete(tree, "") // only one of the archives has the root itself
		for name := range tree {
			if allowed.MatchString(name) {
				delete(tree, name)
			}
		}
	}
	if len(ours) < 5000 {
		t.Errorf("only %d files are compared", len(ours))
	}
	if diff := differences(direct, ours, false); len(diff) > 0 {
		t.Errorf("%d differences between dnf's tree and ours:\n%s", len(diff), strings.Join(diff[:min(30, len(diff))], "\n"))
	}
	if diff := cmp.Diff(database(t, box, "direct"), database(t, box, "ours")); diff != "" {
		t.Errorf("rows of the database (-dnf +ours):\n%s", diff)
	}
	if diff := cmp.Diff(history(t, box, "direct"), history(t, box, "ours")); diff != "" {
		t.Errorf("rows of the history (-dnf +ours):\n%s", diff)
	}
}

// sortLinks makes the first name of each file with several the one that has the
// content; an archive has it at the name that it came upon first.
func sortLinks(tree map[string]entry) {
	names := map[string][]string{}
	for name, e := range tree {
		if e.Typeflag == tar.TypeLink {
			first := strings.TrimPrefix(path.Clean("/"+e.Linkname), "/")
			names[first] = append(names[first], name)
		}
	}
	for first, others := range names {
		content := tree[first]
		all := append(others, first)
		slices.Sort(all)
		for i, name := range all {
			h := *content.Header
			e := entry{Header: &h, SHA256: content.SHA256, Data: content.Data}
			if i > 0 {
				h.Typeflag, h.Linkname, h.Size = tar.TypeLink, all[0], 0
			}
			tree[name] = e
		}
	}
}

// query asks the toolbox's rpm about a tree below /trees.
func query(t testing.TB, box, tree string, args ...string) string {
	t.Helper()
	return output(t, "chroot", append([]string{box, "rpm", "--root", "/trees/" + tree, "--dbpath", RPMDatabase}, args...)...)
}

// installTags are the values of a database that depend on the time.
var installTags = regexp.MustCompile(`(?s)<rpmTag name="(Installtime|Installtid|Dbinstance)">.*?</rpmTag>\s*`)

// keyTags are those of a public key that depend on how its packets are written:
// dnf lets GnuPG write them anew, and the stage takes them as they were given.
// The key's fingerprint is its version.
var keyTags = regexp.MustCompile(`(?s)<rpmTag name="(Pubkeys|Description|Sha1header|Sha256header)">.*?</rpmTag>\s*`)

// database returns all tags of all packages, in a fixed order.
func database(t testing.TB, box, tree string) []string {
	t.Helper()
	var rows []string
	for _, row := range strings.Split(query(t, box, tree, "-qa", "--xml"), "</rpmHeader>") {
		row = installTags.ReplaceAllString(row, "")
		if strings.Contains(row, "<string>gpg-pubkey</string>") {
			row = keyTags.ReplaceAllString(row, "")
		}
		rows = append(rows, row)
	}
	slices.Sort(rows)
	if len(rows) < 100 {
		t.Errorf("the database of %s has %d rows", tree, len(rows))
	}
	return rows
}

// historyScript prints what dnf's history says, without times and the command.
const historyScript = `import sqlite3, sys
db = sqlite3.connect("/trees/%s/var/lib/dnf/history.sqlite")
for sql in (
    "select 'transaction', rpmdb_version_begin, rpmdb_version_end, releasever, user_id, state, comment from trans order by id",
    "select 'package', name, epoch, version, release, arch, action, reason, state, repoid from trans_item join rpm using (item_id) join repo on repo.id = repo_id order by name",
    "select 'group', groupid, name, translated_name, pkg_types, action, reason, state from comps_group join trans_item using (item_id) order by groupid",
    "select 'of a group', groupid, p.name, installed, pkg_type from comps_group_package p join comps_group on group_id = item_id order by groupid, p.name",
):
    for row in db.execute(sql):
        print(*row)
`

// history returns the rows of dnf's history: reasons, groups, marks.
func history(t testing.TB, box, tree string) []string {
	t.Helper()
	rows := strings.Split(output(t, "chroot", box, "python3", "-c", fmt.Sprintf(historyScript, tree)), "\n")
	if len(rows) < 100 {
		t.Errorf("the history of %s has %d rows", tree, len(rows))
	}
	return rows
}
