package llb

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/internal/testkey"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// archive is a Resolver that knows files by their addresses, and what steps say
// by the names of their files.
type archive struct {
	files, said map[string]string
	// ran describes the steps that were to run.
	ran []string
}

func (a *archive) Evaluate(context.Context, llb.State) error { return nil }

func (a *archive) ReadFile(ctx context.Context, st llb.State, name string) ([]byte, error) {
	if strings.HasSuffix(name, packages.ReportSuffix) {
		return []byte(a.said[name]), nil
	}
	urls, steps, err := sources(ctx, st)
	if err != nil {
		return nil, err
	}
	if steps || len(urls) == 0 {
		def, err := st.Marshal(ctx, llb.Platform(amd64))
		if err != nil {
			return nil, err
		}
		for _, op := range def.Metadata {
			if d := op.Description["llb.customname"]; !strings.HasPrefix(d, "[internal]") {
				a.ran = append(a.ran, fmt.Sprint(d, " always: ", op.IgnoreCache))
			}
		}
		return []byte(a.said[name]), nil
	}
	for u, sum := range urls {
		data, ok := a.files[u]
		if !ok {
			return nil, errors.New("invalid response status 404")
		}
		if got := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(data))); sum != "" && got != sum {
			return nil, fmt.Errorf("digest mismatch %s: %s", got, sum)
		}
		return []byte(data), nil
	}
	return nil, errors.New("no source")
}

// one looks for one repository.
func one(t *testing.T, g *Graph, r packages.RepositoryOptions, auth credentials) (metadata, error) {
	t.Helper()
	m, err := g.metadata(t.Context(), []packages.RepositoryOptions{r}, auth)
	if err != nil {
		return metadata{}, err
	}
	return m[0], nil
}

// TestRepositories reads repositories of all forms that apt reads.
func TestRepositories(t *testing.T) {
	t.Parallel()
	key, stranger := testkey.NewSigner(t, nil), testkey.NewSigner(t, nil)
	const base = "https://a.example/deb"
	sum := strings.Repeat("1", 64)
	flat := "Date: Sat, 31 May 2025 08:00:00 UTC\nSHA256:\n " + sum + " 5 Packages.gz\n"
	suite := "Codename: x\nDate: Sat, 31 May 2025 08:00:00 UTC\nArchitectures: amd64\nComponents: main\nSHA256:\n " + sum + " 5 main/binary-amd64/Packages.xz\n"
	byHash := strings.Replace(flat, "SHA256", "Acquire-By-Hash: yes\nSHA256", 1)
	pin := func(data string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(data))) }
	for _, tt := range []struct {
		name, suite, pin string
		files            map[string]string
		want             []string
		fails            string
	}{
		{name: "InRelease", suite: "x", files: map[string]string{"dists/x/InRelease": key.Clear(suite)}, want: []string{"dists/x/InRelease", "dists/x/main/binary-amd64/Packages.xz"}},
		{name: "Release and Release.gpg", suite: "x", files: map[string]string{"dists/x/Release": suite, "dists/x/Release.gpg": key.Detached(suite)}, want: []string{"dists/x/Release", "dists/x/Release.gpg", "dists/x/main/binary-amd64/Packages.xz"}},
		{name: "a suite with a slash", suite: "x/updates", files: map[string]string{"dists/x/updates/InRelease": key.Clear(suite)}, want: []string{"dists/x/updates/InRelease", "dists/x/updates/main/binary-amd64/Packages.xz"}},
		{name: "another suite's", suite: "x-security", files: map[string]string{"dists/x-security/InRelease": key.Clear(suite)}, fails: base + "/dists/x-security/InRelease: the release file is that of the suite \"\" (codename \"x\") and not of \"x-security\""},
		{name: "another suite's, detached", suite: "y", files: map[string]string{"dists/y/Release": suite, "dists/y/Release.gpg": key.Detached(suite)}, fails: "and not of \"y\""},
		{name: "another suite's, pinned", suite: "y", pin: pin(suite), files: map[string]string{"dists/y/Release": suite, "dists/y/Release.gpg": key.Detached(suite)}, want: []string{"dists/y/Release", "dists/y/Release.gpg", "dists/y/main/binary-amd64/Packages.xz"}},
		{name: "flat", suite: "./", files: map[string]string{"InRelease": key.Clear(flat)}, want: []string{"InRelease", "Packages.gz"}},
		{name: "flat, a slash", suite: "/", files: map[string]string{"InRelease": key.Clear(flat)}, want: []string{"InRelease", "Packages.gz"}},
		{name: "flat, in a directory", suite: "binary/", files: map[string]string{"binary/Release": flat, "binary/Release.gpg": key.Detached(flat)}, want: []string{"binary/Release", "binary/Release.gpg", "binary/Packages.gz"}},
		{name: "flat, by hash", suite: "./b/", files: map[string]string{"b/InRelease": key.Clear(byHash)}, want: []string{"b/InRelease", "b/Packages.gz"}},
		{name: "Release, pinned", suite: "./", pin: pin(flat), files: map[string]string{"Release": flat, "Release.gpg": key.Detached(flat)}, want: []string{"Release", "Release.gpg", "Packages.gz"}},
		{name: "another Release is pinned", suite: "./", pin: pin(suite), files: map[string]string{"Release": flat, "Release.gpg": key.Detached(flat)}, fails: "digest mismatch"},
		{name: "not signed", suite: "./", files: map[string]string{"Release": flat}, fails: base + "/Release: the repository is not signed, as there is no file InRelease and no file Release.gpg: invalid response status 404"},
		{name: "signed by a stranger", suite: "./", files: map[string]string{"Release": flat, "Release.gpg": stranger.Detached(flat)}, fails: base + "/Release: the Release file is signed by"},
		{name: "nothing", suite: "./", files: nil, fails: "invalid response status 404; and there is no file Release beside it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opt := options(t)
			a := &archive{files: map[string]string{}}
			for name, data := range tt.files {
				a.files[base+"/"+name] = data
			}
			opt.Resolver = a
			g := New(&manifest.Manifest{}, opt)
			r := packages.RepositoryOptions{Mirror: base, Suite: tt.suite, Keyring: key.Keyring(), Checksum: tt.pin}.WithDefaults("amd64")
			var got []string
			for range 2 { // the second time it is known
				m, err := one(t, g, r, credentials{})
				if tt.fails != "" {
					if err == nil || !strings.Contains(err.Error(), tt.fails) {
						t.Errorf("got %v, want %q", err, tt.fails)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				got = nil
				for _, f := range m.files {
					got = append(got, strings.TrimPrefix(f.name, "0/"))
					if want := base + "/" + strings.TrimPrefix(f.name, "0/"); f.url != want && !strings.Contains(f.url, "/by-hash/SHA256/"+f.sha256) {
						t.Errorf("%s is at %s", f.name, f.url)
					}
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestCredentials downloads by steps what BuildKit cannot: with a secret that
// ends in a line end.
func TestCredentials(t *testing.T) {
	t.Parallel()
	const base = "http://a.example/deb"
	key := testkey.NewSigner(t, nil)
	text := "Date: Sat, 31 May 2025 08:00:00 UTC\nSHA256:\n " + strings.Repeat("1", 64) + " 5 Packages.gz\n"
	for word, steps := range map[string]bool{packages.AuthorizationPlain: false, packages.AuthorizationLine: true} {
		opt := rpmOptions(t, newNetwork())
		a := &archive{files: map[string]string{base + "/InRelease": key.Clear(text)}, said: map[string]string{"/authorization": word}}
		if steps {
			// The step that is refused reports it and does not fail.
			a.files = map[string]string{base + "/Release": text, base + "/Release.gpg": key.Detached(text)}
			a.said["/InRelease"+packages.ReportSuffix] = `{"code": 44, "text": "the server answers 404"}`
		}
		opt.Resolver = a
		at := place{pipeline: testManifest(t, `{"stages": [{"name": "org.osbuildkit.apt", "options": {"packages": ["a"], "auth": "mirror"}}]}`).Pipelines[0], number: 1}
		at.stage = at.pipeline.Stages[0]
		g := New(&manifest.Manifest{}, opt)
		for range 2 {
			c, err := g.credentials(t.Context(), at, "mirror")
			if err != nil || c.secret != "mirror" || (c.client != nil) != steps {
				t.Fatalf("%s: %+v, %v", word, c, err)
			}
			m, err := one(t, g, packages.RepositoryOptions{Mirror: base, Suite: "./", Keyring: key.Keyring()}.WithDefaults("amd64"), c)
			if err != nil {
				t.Fatal(err)
			}
			st, _, err := g.download(t.Context(), m.files[len(m.files)-1])
			if err != nil {
				t.Fatal(err)
			}
			def, err := st.Marshal(t.Context(), llb.Platform(amd64))
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			if steps {
				want[base+"/Packages.gz"] = "/run/osbuild/secrets/authorization=mirror"
			}
			if d := cmp.Diff(want, clientSteps(t, def)); d != "" {
				t.Errorf("%s: %s", word, d)
			}
		}
		// The look is taken once in each build, and in each.
		looks := 0
		for _, ran := range a.ran {
			if strings.HasSuffix(ran, "look at the credentials always: true") {
				looks++
			}
		}
		if looks != 1 {
			t.Errorf("%s: %q ran", word, a.ran)
		}
	}
	if c, err := New(&manifest.Manifest{}, options(t)).credentials(t.Context(), place{pipeline: &manifest.Pipeline{}}, ""); err != nil || c.secret != "" || c.client != nil {
		t.Errorf("without a secret: %+v, %v", c, err)
	}
}
