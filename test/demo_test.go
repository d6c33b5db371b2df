//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/debian"
)

// TestDemo builds the example and looks at what comes out. Then it does what README
// says, which is the same with a key.
func TestDemo(t *testing.T) {
	need(t, "qemu-system-x86_64", "qemu-img", "ssh", "ssh-keygen", "unshare", "curl")
	file, _ := demo(t)
	p := build(t, "-o", demoOutput(), file)
	t.Logf("built in %.1f s, %d steps ran", p.took.Seconds(), len(p.ran()))
	if got := files(t, demoOutput()); !slices.Equal(got, []string{"SHA256SUMS", demoImage, "packages.json"}) {
		t.Fatalf("the output directory holds %v", got)
	}
	image := filepath.Join(demoOutput(), demoImage)
	checkSums(t, demoOutput(), demoImage)
	if out := output(t, "qemu-img", "check", image); !strings.Contains(out, "No errors were found") {
		t.Errorf("qemu-img check: %s", out)
	}
	// Warnings are there too, as standard error has the progress alone.
	want := regexp.MustCompile(`(?m)^tree id: [0-9a-f]{64}\noutput id: [0-9a-f]{64}\n`)
	if !want.MatchString(p.stdout.String()) || !strings.Contains(p.stdout.String(), image+" (") {
		t.Errorf("stdout: %q", &p.stdout)
	}
	list := packageList(t, demoOutput())
	for _, name := range []string{"nginx", "linux-image-cloud-amd64", "systemd-sysv", "dpkg"} {
		if !slices.ContainsFunc(list.Packages, func(p debian.Package) bool { return p.Name == name }) {
			t.Errorf("packages.json does not name %s", name)
		}
	}

	typeReadme(t)
}

// checkSums verifies SHA256SUMS, which must name exactly the given files.
func checkSums(t *testing.T, dir string, names ...string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for _, n := range names {
		want += sha256File(t, filepath.Join(dir, n)) + "  " + n + "\n"
	}
	if string(data) != want {
		t.Errorf("SHA256SUMS is %q, want %q", data, want)
	}
}

// packageList reads and checks packages.json.
func packageList(t *testing.T, dir string) *debian.PackageList {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "packages.json"))
	if err != nil {
		t.Fatal(err)
	}
	// ParseList checks name, version, architecture and sha256 of every entry.
	list, err := debian.ParseList(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Packages) < 50 || len(list.Repositories) == 0 {
		t.Errorf("packages.json names %d packages of %d repositories", len(list.Packages), len(list.Repositories))
	}
	if host := strings.TrimPrefix(shared.mirror.URL(), "http://"); strings.Contains(string(data), host) {
		t.Error("packages.json names the mirror of the build")
	}
	return list
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestCached builds the same manifest in a new process: nothing runs.
func TestCached(t *testing.T) {
	need(t)
	image := needDemo(t)
	file, text := demo(t)
	before, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256File(t, image)
	for range 2 {
		p := build(t, "-o", demoOutput(), file)
		if ran := p.ran(); len(ran) > 0 || p.cached() < 10 {
			t.Errorf("%d steps are cached, and these ran: %q", p.cached(), ran)
		}
		if want := fmt.Sprintf("%s (%s, unchanged)\n", image, size(before.Size())); !strings.Contains(p.stdout.String(), want) {
			t.Errorf("stdout is %q and has not %q", &p.stdout, want)
		}
		t.Logf("nothing to do: %.2f s", p.took.Seconds())
	}
	after, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	if !after.ModTime().Equal(before.ModTime()) || !os.SameFile(before, after) {
		t.Error("the image was written again")
	}

	if err := os.Remove(image); err != nil {
		t.Fatal(err)
	}
	p := build(t, "-o", demoOutput(), file)
	if ran := p.ran(); len(ran) > 0 {
		t.Errorf("with the image gone these ran: %q", ran)
	}
	t.Logf("the image of %s comes back in %.2f s", size(before.Size()), p.took.Seconds())
	if got := sha256File(t, image); got != sum {
		t.Errorf("the image comes back with the SHA-256 %s, was %s", got, sum)
	}

	// Somebody has changed the image.
	if err := os.WriteFile(image, []byte("not an image"), 0o644); err != nil {
		t.Fatal(err)
	}
	build(t, "-o", demoOutput(), file)
	if got := sha256File(t, image); got != sum {
		t.Errorf("a damaged image is not replaced: SHA-256 %s, want %s", got, sum)
	}
	for name, same := range map[string]string{"space.json": reformatted(t, text), "syntax.json": withKeys(t, text)} {
		p := build(t, "-o", demoOutput(), textFile(t, name, same))
		if ran := p.ran(); len(ran) > 0 || p.cached() < 10 {
			t.Errorf("%s: %d steps are cached, and these ran: %q", name, p.cached(), ran)
		}
	}
}

// size writes a size as the command line does.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
}

// reformatted returns the same manifest with its keys in reverse order and
// other white space.
func reformatted(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	writeReversed(&b, v)
	var again any
	if err := json.Unmarshal([]byte(b.String()), &again); err != nil || !cmp.Equal(v, again) {
		t.Fatal("the test has changed the manifest's meaning", err)
	}
	return b.String()
}

func writeReversed(b *strings.Builder, v any) {
	switch v := v.(type) {
	case map[string]any:
		var keys []string
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		slices.Reverse(keys)
		b.WriteString("\t{\r\n")
		for i, k := range keys {
			if i > 0 {
				b.WriteString(" ,\n\n")
			}
			fmt.Fprintf(b, "%q   :", k)
			writeReversed(b, v[k])
		}
		b.WriteString("}\n")
	case []any:
		b.WriteString("[  ")
		for i, e := range v {
			if i > 0 {
				b.WriteString(",")
			}
			writeReversed(b, e)
		}
		b.WriteString("\n]")
	case float64:
		fmt.Fprintf(b, " %.0f", v)
	default:
		data, _ := json.Marshal(v)
		b.Write(data)
	}
}

// withKeys changes and adds the keys that have no meaning for the build.
func withKeys(t *testing.T, text []byte) string {
	t.Helper()
	out := string(text)
	for _, change := range [][2]string{
		{`"syntax": "osbuildkit/frontend:1"`, `"syntax": "example.org/osbuildkit", "$schema": "https://example.org/schema.json"`},
		{`"name": "Debian 13 with nginx"`, `"name": "another name"`},
	} {
		if strings.Count(out, change[0]) != 1 {
			t.Fatalf("the example does not have %s once", change[0])
		}
		out = strings.Replace(out, change[0], change[1], 1)
	}
	return out
}

// TestLastStage changes the last stage: it runs, the assembler runs, no more.
func TestLastStage(t *testing.T) {
	need(t)
	needDemo(t)
	_, text := demo(t)
	changed := strings.Replace(string(text), "console=tty0", "quiet console=tty0", 1)
	dir := t.TempDir()
	p := build(t, "-o", dir, textFile(t, "changed.json", changed))
	want := []string{"[assembler 1/1] org.osbuild.qemu", "[tree 8/8] org.osbuild.grub2"}
	if diff := cmp.Diff(want, p.ran()); diff != "" {
		t.Errorf("steps that ran (-want +got):\n%s", diff)
	}
	t.Logf("the last stage and the assembler: %.1f s", p.took.Seconds())
	if sha256File(t, filepath.Join(dir, demoImage)) == sha256File(t, filepath.Join(demoOutput(), demoImage)) {
		t.Error("the image is the same although a kernel option was changed")
	}
}
