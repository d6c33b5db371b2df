//go:build e2e

package test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// labelled is the stage that gives files all that a layer loses, and what it
// keeps.
func labelled() object {
	return stage("org.osbuildkit.attributes", object{"paths": object{
		"/etc/shadow": object{
			"mode": "0640", "group": "shadow", "acl": "u:www-data:r--",
			"xattrs": object{"security.selinux": "system_u:object_r:shadow_t:s0\x00"},
		},
		"/srv":          object{"default_acl": "g:adm:rwx", "acl": "g:adm:r-x", "xattrs": object{"user.note": "two words", "trusted.x": object{"base64": "AP8="}}},
		"/usr/bin/true": object{"capabilities": "cap_net_bind_service+ep", "xattrs": object{"security.selinux": "system_u:object_r:bin_t:s0\x00"}},
		"/usr":          object{"xattrs": object{"security.selinux": "system_u:object_r:usr_t:s0\x00"}},
	}})
}

// routes are the images of one manifest by two routes: built here, and over a
// tree that has gone through the blobs of a cache.
type routes struct{ built, imported string }

// roundTrip builds the manifest that make returns for a host name: here, with
// its cache exported; then in an empty store that imports the cache, where
// nothing may run; then, in both, with another host name, so that the
// assembler runs over a tree that was imported. The images must be the same.
func roundTrip(t *testing.T, store string, make func(host string) object) routes {
	t.Helper()
	cache := filepath.Join(t.TempDir(), "cache")
	dirs := map[string]string{}
	run := func(name, host string, args ...string) *process {
		t.Helper()
		dirs[name] = t.TempDir()
		p := build(t, append([]string{"-o", dirs[name], manifestFile(t, "image.json", make(host))}, args...)...)
		t.Logf("%s: %.1f s, %d steps ran", name, p.took.Seconds(), len(p.ran()))
		return p
	}
	run("built", "one")
	run("exported", "one", "--cache-to", "type=local,dest="+cache+",mode=max,compression=zstd")
	run("changed", "two")
	from := []string{"--store", store, "--cache-from", "type=local,src=" + cache}
	p := run("imported", "one", from...)
	if ran := withoutSolves(p.ran()); len(ran) > 0 {
		t.Errorf("with the cache imported these steps ran: %q", ran)
	}
	p = run("imported and changed", "two", from...)
	ran := withoutSolves(p.ran())
	if len(ran) != 2 || !strings.HasPrefix(ran[0], "[assembler 1/1]") || !strings.HasSuffix(ran[1], "org.osbuild.hostname") {
		t.Errorf("with the last stage changed these steps ran: %q", ran)
	}
	image := func(name string) string { return filepath.Join(dirs[name], smallImage) }
	for _, pair := range [][2]string{{"built", "imported"}, {"changed", "imported and changed"}} {
		if a, b := sha256File(t, image(pair[0])), sha256File(t, image(pair[1])); a != b {
			t.Errorf("the image %s is %s, the image %s is %s", pair[0], a, pair[1], b)
		}
	}
	return routes{image("changed"), image("imported and changed")}
}

// withoutSolves leaves out the steps that find out what is to be installed:
// the graph asks for their results before it has the others, and a cache of
// the image does not hold them.
func withoutSolves(names []string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return strings.HasSuffix(n, ": solve") || strings.HasSuffix(n, ": repositories") })
}

// inspect asks debugfs about the file system of an image.
func inspect(t *testing.T, image, request string) string {
	t.Helper()
	return output(t, "debugfs", "-R", request, image+"?offset=1048576")
}

// checkImage puts questions about an image: requests to debugfs, each with what
// the answer must hold.
func checkImage(t *testing.T, image string, inspections [][]string) {
	t.Helper()
	for _, i := range inspections {
		answer := inspect(t, image, i[0])
		for _, want := range i[1:] {
			if !strings.Contains(answer, want) {
				t.Errorf("%s: %q is missing in %s", i[0], want, answer)
			}
		}
	}
}

// TestLedgerRoundTrip takes a system of packages through a cache.
func TestLedgerRoundTrip(t *testing.T) {
	need(t, "debugfs")
	r := roundTrip(t, t.TempDir(), func(host string) object {
		return object{
			// The script of systemd sets access control lists.
			"stages": []any{
				bootstrap(), stage("org.osbuildkit.apt", object{"packages": []string{"systemd"}}), labelled(), stage("org.osbuild.hostname", object{"hostname": host}),
			},
			"assembler": qemu("raw", smallImage, smallSize),
		}
	})
	for _, image := range []string{r.built, r.imported} {
		checkImage(t, image, [][]string{
			{"ea_list /var/log/journal", "system.posix_acl_access (28) = 01 00 00 00 01 00 07 00 04 00 05 00 08 00 05 00 04 00 00 00 10 00 05 00 20 00 05 00", "system.posix_acl_default (28)"},
			{"ea_list /etc/shadow", `security.selinux (30) = "system_u:object_r:shadow_t:s0\000"`, "system.posix_acl_access (28) = 01 00 00 00 01 00 06 00 02 00 04 00 21 00 00 00 04 00 04 00 10 00 04 00 20 00 00 00"},
			{"stat /etc/shadow", "Mode:  0640", "Group:    42"},
			{"ea_list /srv", `user.note (9) = "two words"`, "trusted.x (2)", "system.posix_acl_default", "system.posix_acl_access"},
			{"ea_list /usr", "security.selinux"},
			{"ea_list /usr/bin/true", "security.capability (20)", "bin_t"},
			{"stat /usr/bin/perl", "Links: 2"},
			{"cat /etc/hostname", "two\n"},
		})
	}
}

// TestNodesRoundTrip takes a tree through a cache that has what no package
// ships: devices, pipes, and attributes that the archive of a tree brings with
// it and no ledger holds.
func TestNodesRoundTrip(t *testing.T) {
	need(t, "debugfs")
	const id = "00000000000000000000000000000000000000000000000000000000000000aa"
	empty := t.TempDir()
	for _, store := range []string{shared.store, empty} {
		writeBase(t, filepath.Join(store, "trees"), id)
		closeTrees(t, filepath.Join(store, "trees"))
	}
	r := roundTrip(t, empty, func(host string) object {
		return object{
			"base": id,
			"stages": []any{
				stage("org.osbuildkit.attributes", object{"paths": object{
					"/dev/tty9": object{"group": 5, "xattrs": object{"security.selinux": "tty\x00"}},
					"/dev/loop": object{"mode": "0600"},
					"/pipe":     object{"mode": "0620"},
					"/old":      object{"xattrs": object{"user.note": "kept"}},
				}}),
				stage("org.osbuild.hostname", object{"hostname": host}),
			},
			"assembler": qemu("raw", smallImage, smallSize),
		}
	})
	for _, image := range []string{r.built, r.imported} {
		checkImage(t, image, [][]string{
			{"stat /dev/tty9", "Type: character special", "Mode:  0620", "Group:     5", "Device major/minor number: 04:09"},
			{"ea_list /dev/tty9", "security.selinux"},
			{"stat /dev/loop", "Type: block special", "Mode:  0600", "07:129"},
			{"stat /pipe", "Type: FIFO", "Mode:  0620"},
			{"stat /old", "mtime: 0x3b9aca00:00000000"},
			{"ea_list /old", `user.note (4) = "kept"`},
			{"stat /link", "Links: 2"},
			{"stat /future", "Size: 3"},
			{"ea_list /ping", "security.capability (20)"},
			{"stat /ping", "Mode:  04755", "User:  1000"},
		})
		if answer := inspect(t, image, "ea_list /ping"); strings.Contains(answer, "user.") {
			t.Errorf("an attribute that is in no ledger is in the image: %s", answer)
		}
	}
}

// writeBase writes an OCI layout with a tree.
func writeBase(t *testing.T, dir, id string) {
	t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	when := time.Unix(1_000_000_000, 0)
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "dev/", Mode: 0o755},
		{Typeflag: tar.TypeChar, Name: "dev/tty9", Mode: 0o620, Devmajor: 4, Devminor: 9},
		{Typeflag: tar.TypeBlock, Name: "dev/loop", Mode: 0o660, Devmajor: 7, Devminor: 129},
		{Typeflag: tar.TypeFifo, Name: "pipe", Mode: 0o600},
		{Typeflag: tar.TypeReg, Name: "old", Mode: 0o644, Size: 3},
		{Typeflag: tar.TypeReg, Name: "linked", Mode: 0o644, Size: 3},
		{Typeflag: tar.TypeLink, Name: "link", Linkname: "linked"},
		{Typeflag: tar.TypeReg, Name: "future", Mode: 0o644, Size: 3, ModTime: time.Unix(1<<33, 0)},
		{Typeflag: tar.TypeReg, Name: "ping", Mode: 0o4755, Uid: 1000, Size: 3, PAXRecords: map[string]string{
			"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
			"SCHILY.xattr.user.archive":        "brought it",
		}},
	} {
		if h.ModTime.IsZero() {
			h.ModTime = when
		}
		h.Format = tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("abc")[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	blob := func(mediaType string, data []byte) object {
		t.Helper()
		sum := sha256.Sum256(data)
		name := filepath.Join(dir, "blobs/sha256", hex.EncodeToString(sum[:]))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return object{"mediaType": mediaType, "digest": fmt.Sprintf("sha256:%x", sum), "size": len(data)}
	}
	encode := func(v any) []byte {
		t.Helper()
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	const oci = "application/vnd.oci.image."
	content := blob(oci+"layer.v1.tar", layer.Bytes())
	config := blob(oci+"config.v1+json", encode(object{
		"architecture": "amd64", "os": "linux", "rootfs": object{"type": "layers", "diff_ids": []any{content["digest"]}},
	}))
	image := blob(oci+"manifest.v1+json", encode(object{
		"schemaVersion": 2, "mediaType": oci + "manifest.v1+json", "config": config, "layers": []any{content},
	}))
	image["annotations"] = object{"org.opencontainers.image.ref.name": id}
	index := struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		Manifests     []json.RawMessage `json:"manifests"`
	}{SchemaVersion: 2, MediaType: oci + "index.v1+json"}
	// Other tests keep their trees there.
	if old, err := os.ReadFile(filepath.Join(dir, "index.json")); err == nil {
		if err := json.Unmarshal(old, &index); err != nil {
			t.Fatal(err)
		}
	}
	entry := encode(image)
	if !slices.ContainsFunc(index.Manifests, func(m json.RawMessage) bool { return bytes.Contains(m, []byte(id)) }) {
		index.Manifests = append(index.Manifests, entry)
	}
	for name, data := range map[string][]byte{"index.json": encode(index), "oci-layout": []byte(`{"imageLayoutVersion": "1.0.0"}`)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
