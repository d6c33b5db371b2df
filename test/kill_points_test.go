//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// killPoints is how many points of a build TestKillPoints kills it at; 'make
// test-kills' sets 40 in OSBUILDKIT_KILLS.
func killPoints(t *testing.T) int {
	t.Helper()
	v := os.Getenv("OSBUILDKIT_KILLS")
	if v == "" {
		return 2
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		t.Fatalf("OSBUILDKIT_KILLS %q is not a number of points", v)
	}
	return n
}

// killSeed chooses the points; OSBUILDKIT_KILL_SEED repeats those of another run.
func killSeed(t *testing.T) uint64 {
	t.Helper()
	v := os.Getenv("OSBUILDKIT_KILL_SEED")
	if v == "" {
		return uint64(time.Now().UnixNano())
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("OSBUILDKIT_KILL_SEED %q is not a number", v)
	}
	return n
}

// storedBase returns a new store that holds a finished tree and nothing else, and
// the id of the tree.
func storedBase(t *testing.T) (store, id string) {
	t.Helper()
	p := build(t, "-o", t.TempDir(), "--target", "tree", "--checkpoint", "tree",
		manifestFile(t, "base.json", object{"stages": []any{bootstrap(), stage("org.osbuild.hostname", object{"hostname": "base"})}}))
	m := treeID.FindStringSubmatch(p.stdout.String())
	if m == nil {
		t.Fatalf("stdout names no tree: %q", &p.stdout)
	}
	store = t.TempDir()
	trees := filepath.Join(store, "trees")
	if err := os.CopyFS(trees, os.DirFS(filepath.Join(shared.store, "trees"))); err != nil {
		t.Fatal(err)
	}
	closeTrees(t, trees)
	return store, m[1]
}

// closeTrees makes the trees of a store that a test has written private, as those
// that the program writes are.
func closeTrees(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

// killable is the build that is killed: it loads a stored tree, installs from a
// mirror that asks for credentials, runs a module of the user's own, and imports
// and exports a cache.
type killable struct {
	store, cache, out string
	args              []string
}

func newKillable(t *testing.T) *killable {
	t.Helper()
	const credentials = "Basic b3NidWlsZGtpdDprMWxs"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != credentials {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		shared.mirror.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Setenv("MIRROR_CREDENTIALS", credentials)
	lib := t.TempDir()
	writeFiles(t, lib, map[string]string{
		"stages/org.example.killed":      "#!/bin/sh\nset -e\necho killed >/etc/motd\nmkdir /srv/many\nfor i in $(seq 300); do echo $i >/srv/many/$i; done\n",
		"stages/org.example.killed.json": `{"sandbox": "inside"}`,
	})
	k := &killable{cache: filepath.Join(t.TempDir(), "cache"), out: t.TempDir()}
	var base string
	k.store, base = storedBase(t)
	file := manifestFile(t, "killed.json", object{"base": base, "stages": []any{
		stage("org.osbuildkit.apt", object{"packages": []string{"hello"}, "auth": "mirror", "repos": []any{object{"suite": suite, "mirror": server.URL + mirrorPrefix}}}),
		stage("org.example.killed", object{}),
		stage("org.osbuild.hostname", object{"hostname": "killed"}),
	}})
	k.args = []string{"--store", k.store, "-o", k.out, "--target", "tree", "--libdir", lib, "--secret", "id=mirror,env=MIRROR_CREDENTIALS",
		"--cache-to", "type=local,mode=max,compression=uncompressed,dest=" + k.cache, file}
	return k
}

// arguments are those of the next build, which imports what is there.
func (k *killable) arguments() []string {
	if _, err := os.Stat(filepath.Join(k.cache, "index.json")); err != nil {
		return k.args
	}
	return append([]string{"--cache-from", "type=local,src=" + k.cache}, k.args...)
}

// forget takes the store back to its beginning: only the stored tree is left. The
// cache that was exported goes every second time.
func (k *killable) forget(t *testing.T, round int) {
	t.Helper()
	dirs := []string{filepath.Join(k.store, "buildkit"), k.out}
	if round%2 == 0 {
		dirs = append(dirs, k.cache)
	}
	for _, d := range dirs {
		if err := os.RemoveAll(d); err != nil {
			t.Fatal(err)
		}
	}
}

// engineOf returns the process of the engine that holds a store, or 0.
func engineOf(store string) int {
	data, err := os.ReadFile(filepath.Join(store, "buildkit", "lock"))
	var note struct {
		Engine int `json:"engine"`
	}
	if err != nil || json.Unmarshal(data, &note) != nil {
		return 0
	}
	return note.Engine
}

// TestKillPoints ends a build at random points, in three ways, and builds again
// each time: that has to succeed, and to give the bytes of a build that nobody has
// disturbed.
func TestKillPoints(t *testing.T) {
	need(t)
	n, seed := killPoints(t), killSeed(t)
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("OSBUILDKIT_KILLS=%d OSBUILDKIT_KILL_SEED=%d", n, seed)
	k := newKillable(t)
	whole := build(t, k.arguments()...).took
	want := sha256File(t, filepath.Join(k.out, "tree.tar"))
	for i := range n {
		k.forget(t, i)
		// One point in each of n equal parts of the time that a whole build took.
		after := time.Duration((float64(i) + random.Float64()) / float64(n) * float64(whole))
		p := startBuild(t, k.arguments()...)
		time.Sleep(after)
		how := []string{"kill -9", "Ctrl-C", "kill -9 of the command alone"}[random.IntN(3)]
		switch how {
		case "kill -9":
			if engine := engineOf(k.store); engine > 0 {
				_ = syscall.Kill(engine, syscall.SIGKILL)
			}
			_ = p.signal(syscall.SIGKILL) // it may be at its end
		case "Ctrl-C":
			_ = p.signal(syscall.SIGINT)
		default:
			_ = p.signal(syscall.SIGKILL)
		}
		p.wait()
		what := fmt.Sprintf("%d: %s after %.2f s of %.2f (code %d, %d steps had run)", i, how, after.Seconds(), whole.Seconds(), p.code(), len(p.ran()))
		next := startBuild(t, k.arguments()...).wait()
		if next.code() != 0 {
			t.Errorf("%s: the next build fails with code %d\n%s", what, next.code(), next.text())
			continue
		}
		if sha256File(t, filepath.Join(k.out, "tree.tar")) != want {
			t.Errorf("%s: the next build has other bytes", what)
		}
		for _, name := range files(t, k.out) {
			if strings.HasPrefix(name, ".") {
				t.Errorf("%s: %s is left in the output directory", what, name)
			}
		}
		checkLeftoversOf(t, k.store)
		t.Log(what)
	}
}

// TestDamagedBase builds from a stored tree of which one byte has changed, which
// is said at "base", and again after the advice was followed.
func TestDamagedBase(t *testing.T) {
	need(t)
	store, base := storedBase(t)
	blobs, err := filepath.Glob(filepath.Join(store, "trees", "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var largest string
	var size int64
	for _, b := range blobs {
		if st, err := os.Stat(b); err == nil && st.Size() > size {
			largest, size = b, st.Size()
		}
	}
	file, err := os.OpenFile(largest, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte("damage"), size/2); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	m := manifestFile(t, "damaged.json", object{"base": base, "stages": []any{stage("org.osbuild.hostname", object{"hostname": "x"})}})
	p := startBuild(t, "--store", store, "-o", t.TempDir(), "--target", "tree", m).wait()
	want := fmt.Sprintf(`"base": the tree %s in the store %s is damaged (the content of sha256:%s has changed): build the manifest that makes it with --checkpoint tree again`,
		base, store, filepath.Base(largest))
	if p.code() != 1 || !strings.Contains(p.text(), want) {
		t.Errorf("exit code %d, %s; want %q", p.code(), p.text(), want)
	}
}
