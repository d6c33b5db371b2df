package llb

import (
	"context"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// check does what the step does that compares downloads with checksums.
func (n *network) check(ctx context.Context, st llb.State) ([]byte, error) {
	def, err := st.Marshal(ctx, llb.Platform(amd64))
	if err != nil {
		return nil, err
	}
	addresses := map[digest.Digest]string{}
	dir, err := os.MkdirTemp("", "check-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var options packages.CheckOptions
	for _, d := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(d); err != nil {
			return nil, err
		}
		if s := op.GetSource(); s != nil {
			addresses[digest.FromBytes(d)] = s.Identifier
		}
		for _, a := range op.GetFile().GetActions() {
			var c struct {
				Options packages.CheckOptions `json:"options"`
			}
			if m := a.GetMkfile(); m != nil && json.Unmarshal(m.Data, &c) == nil && len(c.Options.Files) > 0 {
				options = c.Options
			}
			copied := a.GetCopy()
			if copied == nil || int(a.SecondaryInput) >= len(op.Inputs) || a.SecondaryInput < 0 {
				continue
			}
			u := addresses[digest.Digest(op.Inputs[a.SecondaryInput].Digest)]
			if !strings.HasPrefix(u, "http") {
				continue
			}
			name := filepath.Join(dir, "files", copied.Dest)
			if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(n.files[u]), 0o644)); err != nil {
				return nil, err
			}
		}
	}
	raw, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	in := &module.Input{Options: raw, OutputDir: dir, Inputs: map[string]string{"files": filepath.Join(dir, "files")}}
	for _, m := range packages.Modules() {
		if m.Name == packages.CheckPart {
			if err := m.Run(ctx, in); err != nil {
				return nil, err
			}
		}
	}
	return os.ReadFile(filepath.Join(dir, packages.CheckedFile))
}

func sum512(data string) string { return fmt.Sprintf("%x", sha512.Sum512([]byte(data))) }

func sum256(data string) string {
	return strings.TrimPrefix(rpmmd.RepomdChecksum([]byte(data)), "sha256:")
}

// The compressed list of packages of a made-up repository, and its content.
const packedList, openList = "\x1f\x8b packed", "<metadata></metadata>"

// listing returns a repomd.xml with one file.
func listing(checksum, location string) string {
	return "<repomd><data type=\"primary\">" + checksum + "<location " + location + "/></data></repomd>"
}

// A repository may have other checksums than BuildKit knows, send its lists
// without their compression, have files elsewhere on its server, and tokens in
// its address. What a mirror has not, or not as it should be, the next one has.
func TestDnfForms(t *testing.T) {
	t.Parallel()
	const place = `href="repodata/p.xml.gz"`
	packed512 := `<checksum type="sha512">` + sum512(packedList) + `</checksum>`
	packed256 := `<checksum type="sha256">` + sum256(packedList) + `</checksum>`
	open256, open512 := `<open-checksum type="sha256">`+sum256(openList)+`</open-checksum>`, `<open-checksum type="sha512">`+sum512(openList)+`</open-checksum>`
	decision := func(fields string) string {
		return `{"packages": [{"name": "a", "version": "1", "release": "1", "arch": "noarch", "repository": 0, "file": "a-1-1.noarch.rpm", "size": 9, ` + fields + `}]}`
	}
	with256 := func(more string) string { return decision(`"sha256": "` + sum256("package a") + `", ` + more) }
	plain := with256(`"location": "a.rpm"`)
	with512 := decision(`"location": "a.rpm", "sha256": "", "checksum": "sha512:` + sum512("package a") + `"`)
	const two = `"baseurl": "http://one/r http://two/r"`
	cases := []struct {
		name, repo, decision string
		files                map[string]string
		list, rpm            string // what is taken
		err                  string
	}{
		{name: "SHA-512", repo: two, decision: with512, list: "http://one/r/repodata/p.xml.gz", rpm: "http://one/r/a.rpm", files: map[string]string{
			"http://one/r/repodata/repomd.xml": listing(packed512, place), "http://one/r/repodata/p.xml.gz": packedList, "http://one/r/a.rpm": "package a",
		}},
		{name: "SHA-512 of another file", repo: two, decision: with512, list: "http://two/r/repodata/p.xml.gz", rpm: "http://two/r/a.rpm", files: map[string]string{
			"http://one/r/repodata/repomd.xml": listing(packed512, place), "http://one/r/repodata/p.xml.gz": "<html>nothing</html>",
			"http://two/r/repodata/repomd.xml": listing(packed512, place), "http://two/r/repodata/p.xml.gz": packedList, "http://two/r/a.rpm": "package a",
		}},
		{name: "SHA-512 of another package", repo: two, decision: with512, list: "http://one/r/repodata/p.xml.gz", rpm: "http://two/r/a.rpm", files: map[string]string{
			"http://one/r/repodata/repomd.xml": listing(packed512, place), "http://one/r/repodata/p.xml.gz": packedList, "http://one/r/a.rpm": "package b",
			"http://two/r/a.rpm": "package a",
		}},
		{name: "SHA-512 of no package", repo: two, decision: with512, files: map[string]string{
			"http://one/r/repodata/repomd.xml": listing(packed512, place), "http://one/r/repodata/p.xml.gz": packedList, "http://one/r/a.rpm": "package b", "http://two/r/a.rpm": "package c",
		}, err: "none of 2 mirrors has a.rpm:\n  http://one/r/a.rpm: the mirror returned another file, or an error page: 9 bytes with the checksum sha512:"},
		{name: "opened", repo: two, decision: plain, list: "http://one/r/repodata/p.xml.gz", rpm: "http://one/r/a.rpm", files: map[string]string{
			"http://one/r/repodata/repomd.xml": listing(packed256+open256, place), "http://one/r/repodata/p.xml.gz": openList, "http://one/r/a.rpm": "package a",
		}},
		{name: "opened with SHA-512", repo: two, decision: plain, list: "http://one/r/repodata/p.xml.gz", rpm: "http://one/r/a.rpm", files: map[string]string{
			"http://one/r/repodata/repomd.xml": listing(packed512+open512, place), "http://one/r/repodata/p.xml.gz": openList, "http://one/r/a.rpm": "package a",
		}},
		{name: "opened, and nobody knows its checksum", repo: `"baseurl": "http://one/r"`, decision: plain, files: map[string]string{
			"http://one/r/repodata/repomd.xml": listing(packed256, place), "http://one/r/repodata/p.xml.gz": openList,
		}, err: `http://one/r/repodata/p.xml.gz: the server sends the file with "Content-Encoding: gzip"`},
		{name: "another list", repo: `"baseurl": "http://one/r"`, decision: plain, files: map[string]string{
			"http://one/r/repodata/repomd.xml": listing(packed256+open256, place), "http://one/r/repodata/p.xml.gz": "<html>",
		}, err: `http://one/r/repodata/p.xml.gz: the mirror returned another file, or an error page`},
		{name: "above", repo: `"baseurl": "http://one/a/b/r"`, decision: with256(`"location": "../../store/a+b.rpm"`), list: "http://one/a/p.xml.gz", rpm: "http://one/a/store/a%2Bb.rpm", files: map[string]string{
			"http://one/a/b/r/repodata/repomd.xml": listing(packed256, `href="../../p.xml.gz"`), "http://one/a/p.xml.gz": packedList, "http://one/a/store/a%2Bb.rpm": "package a",
		}},
		{name: "base", repo: two, decision: with256(`"location": "a.rpm", "base": "http://one/pool/"`), list: "http://one/l/p.xml.gz", rpm: "http://one/pool/a.rpm", files: map[string]string{
			"http://one/r/repodata/repomd.xml": listing(packed256, `xml:base="http://one/l" href="p.xml.gz"`), "http://one/l/p.xml.gz": packedList, "http://one/pool/a.rpm": "package a",
		}},
		{name: "base at the server of another mirror", repo: two, decision: with256(`"location": "a.rpm", "base": "http://two/pool/"`), list: "http://two/l/p.xml.gz", rpm: "http://two/pool/a.rpm", files: map[string]string{
			"http://one/r/repodata/repomd.xml": listing(packed256, `xml:base="http://two/l" href="p.xml.gz"`),
			"http://two/r/repodata/repomd.xml": listing(packed256, `xml:base="http://two/l" href="p.xml.gz"`), "http://two/l/p.xml.gz": packedList, "http://two/pool/a.rpm": "package a",
		}},
		{name: "base of a package at another server", repo: `"baseurl": "http://one/r"`, decision: with256(`"location": "a.rpm", "base": "http://evil/pool/"`), files: map[string]string{
			"http://one/r/repodata/repomd.xml": listing(packed256, place), "http://one/r/repodata/p.xml.gz": packedList, "http://evil/pool/a.rpm": "package a",
		}, err: `a.rpm: the repository says that "a.rpm" lies elsewhere: at "http://evil/pool/", and not at the server of the repository, http://one; if that server is meant, give`},
		{name: "base of a list at another server", repo: `"baseurl": "http://one/r"`, decision: plain, files: map[string]string{
			"http://one/r/repodata/repomd.xml": listing(packed256, `xml:base="http://evil/l" href="p.xml.gz"`), "http://evil/l/p.xml.gz": packedList,
		}, err: `repository repo0: http://one/r: the repository says that "p.xml.gz" lies elsewhere: at "http://evil/l"`},
		{name: "query", repo: `"baseurl": "http://one/r/?token=$releasever"`, decision: plain, list: "http://one/r/repodata/p.xml.gz?token=9", rpm: "http://one/r/a.rpm?token=9", files: map[string]string{
			"http://one/r/repodata/repomd.xml?token=9": listing(packed256, place), "http://one/r/repodata/p.xml.gz?token=9": packedList, "http://one/r/a.rpm?token=9": "package a",
		}},
		{name: "mirrors with variables", repo: `"mirrorlist": "http://list/"`, decision: plain, list: "http://one/9/x86_64/repodata/p.xml.gz?t", rpm: "http://one/9/x86_64/a.rpm?t", files: map[string]string{
			"http://list/": "http://none/$contentdir/\nhttp://one/$releasever/$basearch/?t\n",
			"http://one/9/x86_64/repodata/repomd.xml?t": listing(packed256, place), "http://one/9/x86_64/repodata/p.xml.gz?t": packedList, "http://one/9/x86_64/a.rpm?t": "package a",
		}},
		{name: "no word of the password", repo: `"baseurl": "http://user:secret@one/r"`, decision: plain, err: "repository repo0: http://user:xxxxx@one/r: invalid response status 404"},
		{name: "no word of the metalink's password", repo: `"metalink": "http://user:secret@one/r"`, decision: plain, err: "repository repo0: the metalink http://user:xxxxx@one/r: invalid response status 404"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork()
			n.decision = c.decision
			for u, data := range c.files {
				n.files[u] = data
			}
			g := New(dnfManifest(t, c.repo, ""), rpmOptions(t, n))
			tree, err := g.Pipeline(t.Context(), "tree")
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "secret") {
					t.Fatalf("got  %v\nwant %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := tree.RPMLists[0].Packages[0].SHA256; got != sum256("package a") {
				t.Errorf("the list has the SHA256 %q", got)
			}
			urls, _, err := sources(t.Context(), tree.Root)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := urls[c.rpm]; !ok {
				t.Errorf("%s is not fetched, but %v", c.rpm, urls)
			}
			var lists []string
			for _, s := range g.rpms {
				files, err := s.files(0)
				if err != nil {
					t.Fatal(err)
				}
				lists = append(lists, files[1].url)
				if opened := strings.HasPrefix(c.name, "opened"); opened == (path.Ext(files[1].name) == ".gz") {
					t.Errorf("the list is called %s", files[1].name)
				}
			}
			if len(lists) != 1 || lists[0] != c.list {
				t.Errorf("the lists come from %q, want %s", lists, c.list)
			}
		})
	}
}

// A step that downloads with a certificate compares the file with any kind of
// checksum by itself.
func TestClientChecksum(t *testing.T) {
	t.Parallel()
	n := newNetwork()
	n.secrets = []string{"ca"}
	m := dnfManifest(t, `"baseurl": "https://one/r", "sslcacert": "ca"`, "")
	g := New(m, rpmOptions(t, n))
	at := place{pipeline: m.Pipeline("tree"), stage: m.Pipeline("tree").Stages[0], number: 1}
	client := &stepClient{at: at}
	client.add(packages.SecretCA, "ca", "", false)
	sum, err := rpmmd.ParseChecksum("sha512:" + sum512(packedList))
	if err != nil {
		t.Fatal(err)
	}
	s := &rpmSource{mirrors: []string{"https://one/r"}, client: client, solve: []rpmmd.Data{{Type: "primary", Location: "p.xml.gz", Checksum: sum}}}
	files, err := s.files(0)
	if err != nil {
		t.Fatal(err)
	}
	st, err := g.fetch(t.Context(), "fetch", files[1:])
	if err != nil {
		t.Fatal(err)
	}
	urls, _, err := sources(t.Context(), st)
	if err != nil || urls["https://one/r/p.xml.gz"] != sum.String() {
		t.Errorf("the file is fetched with the checksum %q, %v", urls["https://one/r/p.xml.gz"], err)
	}
}
