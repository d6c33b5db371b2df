package packages

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/tree"
)

// However the manifest writes a key, the step has its one normal form: each
// tool reads that, and the cache key is the same.
func TestKeysNormalForm(t *testing.T) {
	t.Parallel()
	rsa, ed := string(rpmTestdata(t, "rsa.asc")), string(rpmTestdata(t, "ed25519.asc"))
	keys, err := rpmmd.ParseKeys(rsa)
	if err != nil {
		t.Fatal(err)
	}
	job := func(repo DnfRepository, given ...string) string {
		t.Helper()
		j, err := DnfOptions{Gpgkeys: given, Repos: []DnfRepository{repo}}.Job()
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	want := job(DnfRepository{ID: "x", Gpgkey: rsa})
	for name, got := range map[string]string{
		"with words around it": job(DnfRepository{ID: "x", Gpgkey: "pub  rsa4096\n" + rsa + "\nthat was it\n"}),
		"in one line":          job(DnfRepository{ID: "x", Gpgkey: strings.ReplaceAll(rsa, "\n", " ")}),
		"with other line ends": job(DnfRepository{ID: "x", Gpgkey: strings.ReplaceAll(rsa, "\n", "\r\n")}),
		"indented":             job(DnfRepository{ID: "x", Gpgkey: "    " + strings.ReplaceAll(rsa, "\n", "\n    ")}),
		"twice":                job(DnfRepository{ID: "x", Gpgkey: rsa + rsa}),
		"by its fingerprint":   job(DnfRepository{ID: "x", Gpgkey: keys.Fingerprints()[0]}, ed, strings.ReplaceAll(rsa, "\n", " ")),
	} {
		if got != want {
			t.Errorf("%s: the step is another one:\n%s\n%s", name, got, want)
		}
	}
	if !strings.Contains(want, strings.ReplaceAll(string(keys.Armor()), "\n", `\n`)) {
		t.Errorf("the normal form is not in %s", want)
	}
	if _, err := givenKeys([]string{rsa, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!\n-----END PGP PUBLIC KEY BLOCK-----"}); err == nil || !strings.Contains(err.Error(), "key 2 of 2") {
		t.Errorf("got %v, which does not say which key it is", err)
	}
}

// What dnf_job.py is given are the packets as the author of the key made them.
func TestDnfKeys(t *testing.T) {
	t.Parallel()
	both, err := givenKeys([]string{string(rpmTestdata(t, "rsa.asc")), string(rpmTestdata(t, "ed25519.asc"))})
	if err != nil {
		t.Fatal(err)
	}
	keys := dnfKeys(both)
	if len(keys) != 2 || !bytes.Equal(append(bytes.Clone(keys[0].Packets), keys[1].Packets...), both.Packets()) {
		t.Fatalf("%d keys", len(keys))
	}
	if !strings.HasSuffix(keys[0].Name, " (RSA)") || keys[0].Lacking != "" {
		t.Errorf("%+v", keys[0])
	}
	if !newerKey(rpmmd.Key{Version: 6}) || newerKey(rpmmd.Key{Version: 4}) {
		t.Error("keys of version 6 are those that not every rpm reads")
	}
}

// The files of "gpgkeys.fromtree" are read by our own reader, and only as
// files of the tree.
func TestTreeKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rsa := rpmTestdata(t, "rsa.asc")
	keys, err := rpmmd.ReadKeys(rsa)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"armored": rsa, "binary": keys.Packets(), "line": bytes.ReplaceAll(rsa, []byte("\n"), []byte(" ")),
		"large": make([]byte, rpmmd.MaxKeys+1), "words": []byte("none"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(outside, rsa, 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"link": "armored", "out": outside} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := tree.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, want := range map[string]string{
		"/armored": "", "/binary": "", "line": "", "link": "",
		"large": "larger than", "words": "neither armored", "out": "no such file", ".": "no regular file",
	} {
		got, err := treeKeys(root, name)
		switch {
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want %s", name, err, want)
		case want == "" && (err != nil || !bytes.Equal(got.Armor(), keys.Armor())):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The policy is for rpm alone: scriptlets do not see it.
func TestImportPolicy(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{"in another root": t.TempDir(), "in its own": "/"} {
		if dir != "/" {
			if err := os.MkdirAll(filepath.Join(dir, "usr/lib/rpm"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		root, err := openRPMRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.close()
		home := t.TempDir()
		env, err := root.rpmConfig(home, "/var/lib/rpm")
		if err != nil {
			t.Fatal(err)
		}
		file, ok := strings.CutPrefix(env[0], policyVariable+"=")
		if !ok {
			t.Fatalf("%s: %q", name, env)
		}
		if data, err := os.ReadFile(file); err != nil || !strings.Contains(string(data), `sha1.collision_resistance = "always"`) {
			t.Errorf("%s: %s, %v", name, data, err)
		}
		macros, err := os.ReadFile(filepath.Join(home, ".rpmmacros"))
		if err != nil {
			t.Fatal(err)
		}
		if dir != "/" && !strings.Contains(string(macros), `posix.unsetenv("`+policyVariable+`")`) {
			t.Errorf("%s: scriptlets see the policy:\n%s", name, macros)
		}
	}
}

// The keys of the examples are those of real distributions: one of them
// certifies itself with SHA-1.
func TestKeysOfExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../examples/*.json")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Stages []struct {
				Name    string
				Options json.RawMessage
			}
		}
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
		for _, s := range m.Stages {
			if s.Name != "org.osbuild.dnf" {
				continue
			}
			var o DnfOptions
			if err := json.Unmarshal(s.Options, &o); err != nil {
				t.Fatal(err)
			}
			for _, r := range o.Repos {
				keys, err := o.Keys(r)
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				for _, k := range keys.List() {
					found++
					if k.Problem != nil {
						t.Errorf("%s: key %s: %v", file, k.Fingerprint, k.Problem)
					}
				}
			}
		}
	}
	if found == 0 {
		t.Error("no example has a key")
	}
}

// A key that can have signed nothing that counts is an error before anything
// is solved.
func TestUnfitKey(t *testing.T) {
	t.Parallel()
	e, err := openpgp.NewEntity("Short", "", "", &packet.Config{Algorithm: packet.PubKeyAlgoRSA, RSABits: 1024})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := e.Serialize(&out); err != nil {
		t.Fatal(err)
	}
	keys, err := rpmmd.ReadKeys(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(string(keys.Armor()))
	if err != nil {
		t.Fatal(err)
	}
	const want = "an RSA key of 1024 bits proves nothing any more"
	for name, problems := range map[string][]module.Problem{
		"/repos/0/gpgkey": checkDnf([]byte(`{"releasever": "1", "repos": [{"baseurl": "https://example.org", "gpgkey": ` + string(text) + `}]}`)),
		"/gpgkeys":        checkRPM([]byte(`{"gpgkeys": [` + string(text) + `], "packages": [{"checksum": "md5:` + strings.Repeat("0", 32) + `", "check_gpg": true}]}`)),
	} {
		if len(problems) != 1 || problems[0].Pointer != name || !strings.Contains(problems[0].Message, want) {
			t.Errorf("%s: %+v", name, problems)
		}
	}
	if err := debian.CheckKeyring(keys.Armor()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
	// Without signatures to check it may be one that the system is to know.
	if problems := checkRPM([]byte(`{"gpgkeys": [` + string(text) + `]}`)); len(problems) != 0 {
		t.Errorf("%+v", problems)
	}
}
