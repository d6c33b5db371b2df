//go:build e2e

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// interrupted is the manifest of the builds that are killed. In a store that
// was kept its steps would be in the cache, so there it is a new one each time.
func interrupted() (m object, kept bool) {
	boot := object{"suite": suite, "packages": []string{"hello"}}
	nonce := "kill"
	if kept = os.Getenv("OSBUILDKIT_TEST_STORE") != ""; kept {
		nonce += strconv.FormatInt(time.Now().UnixNano(), 36)
		boot["path_excludes"] = []string{"/nothing/" + nonce}
	}
	return object{
		"stages":    append([]any{stage("org.osbuildkit.debootstrap", boot)}, edits(20, nonce)...),
		"assembler": qemu("raw", smallImage, smallSize),
	}, kept
}

// TestKilled kills a build at five points. Each next run has to come to the
// next point, and the last one to the end.
func TestKilled(t *testing.T) {
	need(t)
	build(t, "-o", t.TempDir(), manifestFile(t, "small.json", small())) // for the toolbox
	m, kept := interrupted()
	file := manifestFile(t, "killed.json", m)
	dir := t.TempDir()
	image := filepath.Join(dir, smallImage)
	fetched := "pool/main/h/hello/*"
	if kept {
		fetched = "dists/" + suite + "/InRelease"
	}
	hang := shared.mirror.Inject(Hang, fetched)
	defer hang.Lift()
	for _, point := range []struct {
		name  string
		reach func(p *process) <-chan struct{}
		delay time.Duration
	}{
		{"fetch", func(*process) <-chan struct{} { return hang.Hit }, 0},
		{"apply", func(p *process) <-chan struct{} { return p.started("debootstrap: configure") }, time.Second},
		{"stage", func(p *process) <-chan struct{} { return p.started("[tree 8/21]") }, 0},
		{"assembler", func(p *process) <-chan struct{} { return p.started("[assembler 1/1]") }, 500 * time.Millisecond},
		{"export", func(p *process) <-chan struct{} { return appears(p, dir, ".part") }, 0},
	} {
		p := startBuild(t, "-o", dir, file)
		p.await(t, point.name, point.reach(p))
		time.Sleep(point.delay)
		if err := p.signal(syscall.SIGKILL); err != nil {
			t.Errorf("%s: the process has ended by itself: %v", point.name, err)
		}
		if p.wait(); p.code() != -1 {
			t.Errorf("killed at %s, and the exit code is %d", point.name, p.code())
		}
		if _, err := os.Stat(image); err == nil {
			t.Errorf("killed at %s, and the image is there", point.name)
		}
		hang.Lift()
		t.Logf("killed at %s after %.1f s; %d steps had run", point.name, p.took.Seconds(), len(p.ran()))
	}
	p := build(t, "-o", dir, file)
	t.Logf("the last run took %.1f s", p.took.Seconds())
	for _, name := range files(t, dir) {
		if strings.HasPrefix(name, ".") {
			t.Errorf("%s is left in the output directory", name)
		}
	}
	if left := files(t, filepath.Join(shared.store, "tmp")); len(left) > 0 {
		t.Errorf("left in the store's tmp: %q", left)
	}
	checkLeftovers(t)
	checkSums(t, dir, smallImage)
	checkHoles(t, image)

	again := t.TempDir()
	build(t, "-o", again, "--no-cache=tree,assembler", file)
	if sha256File(t, image) != sha256File(t, filepath.Join(again, smallImage)) {
		t.Error("the image of the killed build differs from that of an uninterrupted one")
	}
}

// appears returns a channel that is closed when a file with the suffix is in
// the directory while the process runs.
func appears(p *process, dir, suffix string) <-chan struct{} {
	ch := make(chan struct{})
	go func() {
		for {
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				// A file that a process killed before has left does not count.
				if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), suffix) && info.ModTime().After(p.start) && info.Size() > 0 {
					close(ch)
					return
				}
			}
			select {
			case <-p.read:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	return ch
}

// checkHoles sees to it that a raw image takes less room than its size.
func checkHoles(t *testing.T, image string) {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(image, &st); err != nil {
		t.Fatal(err)
	}
	if st.Size != smallSize || st.Blocks*512 > st.Size*3/4 {
		t.Errorf("%s: %d bytes take %d on the disk", image, st.Size, st.Blocks*512)
	}
}

// checkLeftovers looks for mounts of the shared store, and for processes that
// have such mounts: containers.
func checkLeftovers(t *testing.T) {
	t.Helper()
	checkLeftoversOf(t, shared.store)
}

func checkLeftoversOf(t *testing.T, store string) {
	t.Helper()
	tables, err := filepath.Glob("/proc/[0-9]*/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tables {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // the process has ended
		}
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, store+"/buildkit/") {
				t.Errorf("%s: %.300s", name, line)
				break
			}
		}
	}
}

// TestSignal interrupts a build in the middle of a step.
func TestSignal(t *testing.T) {
	need(t)
	file := manifestFile(t, "small.json", small())
	build(t, "-o", t.TempDir(), file)
	dir := filepath.Join(t.TempDir(), "out")
	p := startBuild(t, "-o", dir, "--no-cache=assembler", file)
	p.await(t, "the assembler", p.started("[assembler 1/1]"))
	time.Sleep(300 * time.Millisecond)
	begin := time.Now()
	if err := p.signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.wait()
	if p.code() != 130 || !strings.HasSuffix(p.text(), "Aborted\n") {
		t.Errorf("exit code %d, %q; want 130 and \"Aborted\"", p.code(), p.text())
	}
	t.Logf("ended %.1f s after the signal", time.Since(begin).Seconds())
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left in the output directory: %q", left)
	}
	checkLeftovers(t)
	build(t, "-o", dir, "--no-cache=assembler", file)
	checkSums(t, dir, smallImage)
}

// TestTwoBuilds runs two builds on one store.
func TestTwoBuilds(t *testing.T) {
	need(t)
	file := manifestFile(t, "small.json", small())
	build(t, "-o", t.TempDir(), file)
	one, two := t.TempDir(), t.TempDir()
	p := startBuild(t, "-o", one, "--no-cache=assembler", file)
	p.await(t, "the assembler", p.started("[assembler 1/1]"))
	q := startBuild(t, "-o", two, file)
	if p.wait(); p.code() != 0 {
		t.Fatalf("the first build: exit code %d\n%s", p.code(), p.text())
	}
	if q.wait(); q.code() != 0 {
		t.Fatalf("the second build: exit code %d\n%s", q.code(), q.text())
	}
	want := fmt.Sprintf("osbuildkit: waiting for the store %s, held by process %d (osbuildkit build --store …) since ", shared.store, p.cmd.Process.Pid)
	if !strings.Contains(q.text(), want) {
		t.Errorf("the second build says %q, want %q", q.text(), want)
	}
	if sha256File(t, filepath.Join(one, smallImage)) != sha256File(t, filepath.Join(two, smallImage)) {
		t.Error("the two images differ")
	}
}
