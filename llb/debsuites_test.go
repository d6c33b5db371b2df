package llb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/internal/testkey"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// suites is a Resolver that has release files by their addresses, and solve steps
// that install nothing.
type suites struct {
	files map[string]string

	mu    sync.Mutex
	asked []string
}

func (a *suites) Evaluate(context.Context, llb.State) error { return nil }

func (a *suites) ReadFile(ctx context.Context, st llb.State, name string) ([]byte, error) {
	if name == "/packages.json" {
		return []byte(packagesJSON), nil
	}
	urls, _, err := sources(ctx, st)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for u := range urls {
		a.asked = append(a.asked, u)
		data, ok := a.files[u]
		switch {
		case strings.HasPrefix(data, "error: "):
			return nil, errors.New(data)
		case ok:
			return []byte(data), nil
		}
		return nil, errors.New("invalid response status 404")
	}
	return nil, errors.New("no source")
}

// releaseText is the text of a release file of the distribution.
func releaseText(origin, label, suite, codename, date, more string) string {
	return "Origin: " + origin + "\nLabel: " + label + "\nSuite: " + suite + "\nCodename: " + codename + "\nDate: " + date + "\n" + more +
		"Architectures: amd64\nComponents: main\nSHA256:\n " + strings.Repeat("1", 64) + " 5 main/binary-amd64/Packages.xz\n"
}

const (
	sixth   = "Sat, 06 Sep 2025 08:00:00 UTC"
	seventh = "Sun, 07 Sep 2025 08:00:00 UTC"
)

// TestSystemSuites looks for the suites that a system is made from: at which
// addresses, which there are, and of which time the system is.
func TestSystemSuites(t *testing.T) {
	t.Parallel()
	key := testkey.NewSigner(t, nil)
	now := time.Date(2025, 9, 8, 12, 0, 0, 0, time.UTC)
	stable := key.Clear(releaseText("Debian", "Debian", "stable", "trixie", sixth, "Version: 13.1\n"))
	updates := key.Clear(releaseText("Debian", "Debian", "stable-updates", "trixie-updates", sixth, "Valid-Until: "+seventh+"\n"))
	fresh := key.Clear(releaseText("Debian", "Debian", "stable-updates", "trixie-updates", sixth, ""))
	security := key.Clear(releaseText("Debian", "Debian-Security", "stable-security", "trixie-security", seventh, ""))
	const (
		m  = "http://m.example/debian/dists/"
		ms = "http://m.example/debian-security/dists/"
	)
	all := map[string]string{m + "trixie/InRelease": stable, m + "trixie-updates/InRelease": fresh, ms + "trixie-security/InRelease": security}
	without := func(names ...string) map[string]string {
		out := map[string]string{}
		for u, data := range all {
			if !slices.ContainsFunc(names, func(n string) bool { return strings.Contains(u, n+"/") }) {
				out[u] = data
			}
		}
		return out
	}
	with := func(u, data string) map[string]string {
		out := without()
		out[u] = data
		return out
	}
	pin := "sha256:" + strings.Repeat("0", 64)
	for _, tt := range []struct {
		name, options string
		files         map[string]string
		mirrors       []string
		snapshot      string
		want          []string
		epoch         string
		warns, fails  string
	}{
		{name: "all", files: all, want: []string{"http://m.example/debian trixie", "http://m.example/debian trixie-updates", "http://m.example/debian-security trixie-security"}, epoch: seventh},
		{name: "its own mirror", options: `"mirror": "http://m.example/debian"`, mirrors: []string{"http://other.example"}, files: all,
			want: []string{"http://m.example/debian trixie", "http://m.example/debian trixie-updates", "http://m.example/debian-security trixie-security"}, epoch: seventh},
		{name: "all in one archive", options: `"mirror": "http://a.example/copy"`,
			files: map[string]string{"http://a.example/copy/dists/trixie/InRelease": stable, "http://a.example/copy/dists/trixie-updates/InRelease": fresh, "http://a.example/copy/dists/trixie-security/InRelease": security},
			want:  []string{"http://a.example/copy trixie", "http://a.example/copy trixie-updates", "http://a.example/copy trixie-security"}, epoch: seventh},
		{name: "without security", files: without("trixie-security"), want: []string{"http://m.example/debian trixie", "http://m.example/debian trixie-updates"}, epoch: sixth,
			warns: "the security updates of trixie-security are left out: none of 2 mirrors has the repository"},
		{name: "without updates", files: without("trixie-updates"), want: []string{"http://m.example/debian trixie", "http://m.example/debian-security trixie-security"}, epoch: seventh,
			warns: "the updates of trixie-updates are left out: http://m.example/debian: invalid response status 404"},
		{name: "updates that are old", files: with(m+"trixie-updates/InRelease", updates), want: []string{"http://m.example/debian trixie", "http://m.example/debian trixie-updates", "http://m.example/debian-security trixie-security"}, epoch: seventh,
			warns: "the updates of trixie-updates may not be the newest: http://m.example/debian/dists/trixie-updates/InRelease: the release file of trixie-updates was valid until 2025-09-07"},
		{name: "no updates wanted", options: `"updates": false`, files: all, want: []string{"http://m.example/debian trixie"}, epoch: sixth},
		{name: "pinned", options: `"checksum": "` + pin + `"`, files: all, want: []string{"http://m.example/debian trixie"}, epoch: sixth},
		{name: "pinned with updates", options: `"updates": true, "checksum": "` + pin + `"`, files: without("trixie-security"), epoch: sixth,
			want: []string{"http://m.example/debian trixie", "http://m.example/debian trixie-updates"}, warns: "trixie-security"},
		{name: "security that cannot be asked", files: with(ms+"trixie-security/InRelease", "error: connection refused"), fails: "repository \"trixie-security\": none of 2 mirrors has the repository:\n  http://m.example/debian-security: error: connection refused"},
		{name: "too many requests are no answer", files: with(ms+"trixie-security/InRelease", "error: invalid response status 429"), fails: "status 429"},
		{name: "a stranger's security", files: with(ms+"trixie-security/InRelease", testkey.NewSigner(t, nil).Clear(releaseText("Debian", "Debian-Security", "stable-security", "trixie-security", seventh, ""))), fails: "the keyring has no such key"},
		{name: "the first mirror does not answer", mirrors: []string{"http://down.example/debian", "http://m.example/debian"}, files: with("http://down.example/debian/dists/trixie/InRelease", "error: no such host"),
			want: []string{"http://m.example/debian trixie", "http://m.example/debian trixie-updates", "http://m.example/debian-security trixie-security"}, epoch: seventh},
		{name: "no mirror answers", mirrors: []string{"http://a.example/debian", "http://b.example/debian"}, fails: "none of 2 mirrors has the repository:\n  http://a.example/debian: invalid response status 404"},
		{name: "a snapshot", options: `"snapshot": "20250907T000000Z"`, files: map[string]string{
			"https://snap.example/debian/20250907T000000Z/dists/trixie/InRelease": stable, "https://snap.example/debian/20250907T000000Z/dists/trixie-updates/InRelease": updates,
			"https://snap.example/debian-security/20250907T000000Z/dists/trixie-security/InRelease": key.Clear(releaseText("Debian", "Debian-Security", "stable-security", "trixie-security", sixth, "")),
		}, want: []string{"https://snap.example/debian/20250907T000000Z trixie", "https://snap.example/debian/20250907T000000Z trixie-updates", "https://snap.example/debian-security/20250907T000000Z trixie-security"}, epoch: sixth},
		{name: "a snapshot of the build, with a checksum", snapshot: "20250908T000000Z", options: `"checksum": "` + pin + `"`, files: map[string]string{
			"https://snap.example/debian/20250908T000000Z/dists/trixie/InRelease": stable, "https://snap.example/debian/20250908T000000Z/dists/trixie-updates/InRelease": fresh,
			"https://snap.example/debian-security/20250908T000000Z/dists/trixie-security/InRelease": security,
		}, want: []string{"https://snap.example/debian/20250908T000000Z trixie", "https://snap.example/debian/20250908T000000Z trixie-updates", "https://snap.example/debian-security/20250908T000000Z trixie-security"}, epoch: seventh},
		{name: "a mirror of snapshots", options: `"mirror": "http://m.example/debian/", "snapshot": "20250907T120000Z", "updates": false`,
			files: map[string]string{"http://m.example/debian/20250907T120000Z/dists/trixie/InRelease": stable}, want: []string{"http://m.example/debian/20250907T120000Z trixie"}, epoch: sixth},
		{name: "an address with a time", options: `"mirror": "http://m.example/debian/20250907T000000Z"`,
			files: map[string]string{"http://m.example/debian/20250907T000000Z/dists/trixie/InRelease": stable, "http://m.example/debian/20250907T000000Z/dists/trixie-updates/InRelease": updates,
				"http://m.example/debian-security/20250907T000000Z/dists/trixie-security/InRelease": key.Clear(releaseText("Debian", "Debian-Security", "stable-security", "trixie-security", sixth, ""))},
			want: []string{"http://m.example/debian/20250907T000000Z trixie", "http://m.example/debian/20250907T000000Z trixie-updates", "http://m.example/debian-security/20250907T000000Z trixie-security"}, epoch: sixth},
		{name: "a file that is newer than the snapshot", options: `"snapshot": "20250901T000000Z"`, files: map[string]string{"https://snap.example/debian/20250901T000000Z/dists/trixie/InRelease": stable},
			fails: "has the date 2025-09-06T08:00:00Z, which is after the snapshot of 2025-09-01"},
		{name: "a snapshot that is to come", options: `"snapshot": "20260901T000000Z"`, fails: "the snapshot 20260901T000000Z is of a time that is to come"},
		{name: "sid", options: `"suite": "sid"`, files: map[string]string{m + "sid/InRelease": key.Clear(releaseText("Debian", "Debian", "unstable", "sid", sixth, ""))}, want: []string{"http://m.example/debian sid"}, epoch: sixth},
		{name: "a name for the suite", options: `"suite": "stable"`, files: map[string]string{m + "stable/InRelease": stable, m + "stable-updates/InRelease": fresh, ms + "stable-security/InRelease": security},
			want: []string{"http://m.example/debian stable", "http://m.example/debian stable-updates", "http://m.example/debian-security stable-security"}, epoch: seventh},
		{name: "a release that nobody knew", options: `"suite": "zurg"`, files: map[string]string{
			m + "zurg/InRelease":           key.Clear(releaseText("Debian", "Debian", "testing", "zurg", sixth, "")),
			m + "zurg-updates/InRelease":   key.Clear(releaseText("Debian", "Debian", "testing-updates", "zurg-updates", seventh, "")),
			ms + "zurg-security/InRelease": key.Clear(releaseText("Debian", "Debian-Security", "testing-security", "zurg-security", sixth, "")),
		}, want: []string{"http://m.example/debian zurg", "http://m.example/debian zurg-updates", "http://m.example/debian-security zurg-security"}, epoch: seventh},
		{name: "Ubuntu", options: `"suite": "noble", "mirror": "http://u.example/ubuntu"`, files: map[string]string{
			"http://u.example/ubuntu/dists/noble/InRelease":          key.Clear(releaseText("Ubuntu", "Ubuntu", "noble", "noble", sixth, "")),
			"http://u.example/ubuntu/dists/noble-updates/InRelease":  key.Clear(releaseText("Ubuntu", "Ubuntu", "noble-updates", "noble", seventh, "")),
			"http://u.example/ubuntu/dists/noble-security/InRelease": key.Clear(releaseText("Ubuntu", "Ubuntu", "noble-security", "noble", sixth, "")),
		}, want: []string{"http://u.example/ubuntu noble", "http://u.example/ubuntu noble-updates", "http://u.example/ubuntu noble-security"}, epoch: seventh},
		{name: "a derivative", files: with(m+"trixie/InRelease", key.Clear(releaseText("Someone", "Someone", "stable", "trixie", sixth, ""))), want: []string{"http://m.example/debian trixie"}, epoch: sixth},
		{name: "Debian 10", options: `"suite": "buster"`, files: map[string]string{
			m + "buster/InRelease":          key.Clear(releaseText("Debian", "Debian", "oldoldstable", "buster", sixth, "Version: 10.13\n")),
			ms + "buster/updates/InRelease": key.Clear(releaseText("Debian", "Debian-Security", "oldoldstable", "buster", seventh, "")),
		}, want: []string{"http://m.example/debian buster", "http://m.example/debian-security buster/updates"}, epoch: seventh, warns: "buster-updates"},
		{name: "security for other machines", files: with(ms+"trixie-security/InRelease", key.Clear(strings.Replace(releaseText("Debian", "Debian-Security", "stable-security", "trixie-security", seventh, ""), "amd64\n", "arm64\n", 1))),
			want: []string{"http://m.example/debian trixie", "http://m.example/debian trixie-updates"}, epoch: sixth, warns: "has no architecture"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := &suites{files: tt.files}
			opt := options(t)
			opt.Resolver, opt.Now = a, func() time.Time { return now }
			var warned []string
			opt.Warn = func(_ *manifest.Pipeline, pointer, text string) {
				warned = append(warned, text)
				if pointer != "/stages/0" {
					t.Errorf("a warning about %s", pointer)
				}
			}
			opt.Mirrors = func(suite string, at *time.Time) []string {
				if at != nil {
					return []string{debian.AtSnapshot(debian.MirrorsOf("https://snap.example/debian", suite)[0], *at)}
				}
				if tt.mirrors == nil {
					return debian.MirrorsOf("http://m.example/debian", suite)
				}
				var out []string
				for _, m := range tt.mirrors {
					out = append(out, debian.MirrorsOf(m, suite)...)
				}
				return out
			}
			if tt.snapshot != "" {
				at, err := debian.ParseSnapshot(tt.snapshot)
				if err != nil {
					t.Fatal(err)
				}
				opt.Snapshot = &at
			}
			text := `{"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "keyring": ` + quoted(t, key.Keyring()) + `, ` + tt.options + `}}]}`
			if strings.Contains(tt.options, `"suite"`) {
				text = strings.Replace(text, `"suite": "trixie", `, "", 1)
			}
			text = strings.Replace(text, ", }", "}", 1)
			m := testManifest(t, text)
			g := New(m, opt)
			tree, err := g.Pipeline(t.Context(), "tree")
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Fatalf("got %v, want %q", err, tt.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range tree.repos {
				got = append(got, r.Mirror+" "+r.Suite)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if when := unix(tree.Epoch).Format(time.RFC1123); when != tt.epoch {
				t.Errorf("the time is %s, want %s", when, tt.epoch)
			}
			if len(warned) > 1 || len(warned) == 1 != (tt.warns != "") || !strings.Contains(strings.Join(warned, ""), tt.warns) {
				t.Errorf("warnings %q, want %q", warned, tt.warns)
			}
			// A later stage asks nobody again.
			before := len(a.asked)
			if _, err := g.metadata(t.Context(), tree.repos, credentials{}); err != nil || len(a.asked) != before {
				t.Errorf("%v, and %q were asked for", err, a.asked[before:])
			}
		})
	}
}

// The toolbox has the updates, and is the same until they bring it a package: its
// time is that of the release.
func TestToolboxIsSteady(t *testing.T) {
	t.Parallel()
	key := testkey.NewSigner(t, nil)
	steps := func(date string) []string {
		opt := options(t)
		opt.Now = func() time.Time { return time.Date(2025, 9, 8, 0, 0, 0, 0, time.UTC) }
		opt.Resolver = &suites{files: map[string]string{
			"https://mirror.example/debian/dists/trixie/InRelease":                   key.Clear(releaseText("Debian", "Debian", "stable", "trixie", sixth, "")),
			"https://mirror.example/debian/dists/trixie-updates/InRelease":           key.Clear(releaseText("Debian", "Debian", "stable-updates", "trixie-updates", date, "")),
			"https://mirror.example/debian-security/dists/trixie-security/InRelease": key.Clear(releaseText("Debian", "Debian-Security", "stable-security", "trixie-security", date, "")),
		}}
		opt.ToolboxManifest = testManifest(t, `{"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "keyring": `+quoted(t, key.Keyring())+`}}]}`)
		st, err := New(&manifest.Manifest{}, opt).Toolbox(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		def, err := st.Marshal(t.Context(), llb.Platform(amd64))
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, op := range parse(t, def) {
			if f := op.op.GetFile(); f != nil {
				for _, action := range f.Actions {
					if m := action.GetMkfile(); m != nil && m.Path == "/step.json" {
						out = append(out, string(m.Data))
					}
				}
			}
		}
		return out
	}
	a, b := steps(sixth), steps(seventh)
	if d := cmp.Diff(a, b); d != "" || !strings.Contains(strings.Join(a, ""), "trixie-security") {
		t.Errorf("%d steps\n%s", len(a), d)
	}
}

func quoted(t *testing.T, text string) string {
	t.Helper()
	data, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A repository of a later stage that names neither a mirror nor a time is of that of
// the system.
func TestSnapshotOfLaterStages(t *testing.T) {
	t.Parallel()
	key := testkey.NewSigner(t, nil)
	trixie := key.Clear(releaseText("Debian", "Debian", "stable", "trixie", sixth, ""))
	backports := key.Clear(releaseText("Debian", "Debian Backports", "stable-backports", "trixie-backports", sixth, ""))
	own := key.Clear("Origin: Own\nCodename: own\nDate: " + sixth + "\nArchitectures: amd64\nComponents: main\nSHA256:\n " + strings.Repeat("1", 64) + " 5 main/binary-amd64/Packages.xz\n")
	for snapshot, want := range map[string]string{"": "http://m.example/debian", "20250907T000000Z": "http://s.example/debian/20250907T000000Z"} {
		a := &suites{files: map[string]string{want + "/dists/trixie/InRelease": trixie, want + "/dists/trixie-backports/InRelease": backports, "http://own.example/dists/own/InRelease": own}}
		opt := options(t)
		opt.Resolver = a
		opt.Mirrors = func(_ string, at *time.Time) []string {
			if at != nil {
				return []string{debian.AtSnapshot("http://s.example/debian", *at)}
			}
			return []string{"http://m.example/debian"}
		}
		k := quoted(t, key.Keyring())
		text := fmt.Sprintf(`{"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "updates": false, "snapshot": %q, "keyring": %s}},
			{"name": "org.osbuildkit.apt", "options": {"packages": ["a"], "repos": [{"suite": "trixie-backports", "keyring": %[2]s}, {"suite": "own", "mirror": "http://own.example", "keyring": %[2]s}]}}]}`, snapshot, k)
		m := testManifest(t, strings.Replace(text, `"snapshot": "", `, "", 1))
		if _, err := New(m, opt).Pipeline(t.Context(), "tree"); err != nil {
			t.Errorf("%q: %v\n%q", snapshot, err, a.asked)
		}
	}
}

// What is installed does not depend on when a repository was signed, only on what
// it has: the steps are the same.
func TestRepositorySignedAnew(t *testing.T) {
	t.Parallel()
	key := testkey.NewSigner(t, nil)
	epoch := int64(1_700_000_000)
	steps := func(date string) map[string]string {
		a := &suites{files: map[string]string{}}
		for _, s := range []string{"trixie", "trixie-updates", "trixie-security"} {
			for _, archive := range []string{"debian", "debian-security"} {
				a.files["https://mirror.example/"+archive+"/dists/"+s+"/InRelease"] = key.Clear(releaseText("Debian", "Debian", "x", s, date, ""))
			}
		}
		opt := options(t)
		opt.Resolver, opt.Epoch = a, &epoch
		opt.Now = func() time.Time { return time.Date(2025, 9, 8, 0, 0, 0, 0, time.UTC) }
		m := testManifest(t, `{"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "keyring": `+quoted(t, key.Keyring())+`}}]}`)
		out := map[string]string{}
		for _, op := range parse(t, define(t, m, opt, "tree")) {
			if e := op.op.GetExec(); e != nil {
				out[op.name] = fmt.Sprint(e)
			}
			if f := op.op.GetFile(); f != nil {
				for _, action := range f.Actions {
					if c := action.GetCopy(); c != nil && strings.HasSuffix(c.Dest, ".json") {
						out["list"] = c.Src
					}
				}
			}
		}
		return out
	}
	a, b := steps(sixth), steps(seventh)
	if d := cmp.Diff(a, b); d != "" {
		t.Error(d)
	}
	if a["list"] != "/"+debian.InstallFile {
		t.Errorf("the steps are given %s", a["list"])
	}
}
