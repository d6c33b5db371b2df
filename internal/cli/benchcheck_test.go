package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// hostile are manifests that are made to cost as much as they can: each is a
// head, a piece that is repeated with a number in it, and a tail.
var hostile = []struct{ name, head, piece, tail string }{
	{"unknown stages", `{"stages": [`, `{"name": "org.osbuild.foo%d"}`, `]}`},
	{"stages", `{"stages": [`, `{"name": "org.osbuild.noop", "options": {"x%d": 1}}`, `]}`},
	{"stages with the same name", `{"stages": [`, `{"name": "org.osbuild.timezone", "options": {"zone": "Z%d"}}`, `]}`},
	{"plain passwords", `{"stages": [{"name": "org.osbuild.users", "options": {"users": {`, `"u%d": {"password": "plain text"}`, `}}}]}`},
	{"users with one number", `{"stages": [{"name": "org.osbuild.users", "options": {"users": {`, `"u%d": {"uid": 7}`, `}}}]}`},
	{"users with keys", `{"stages": [{"name": "org.osbuild.users", "options": {"users": {`, `"u%d": {"key": "ssh-ed25519 AAAA", "groups": ["a", "b"]}`, `}}}]}`},
	{"users in stages", `{"stages": [`, `{"name": "org.osbuild.users", "options": {"users": {"u%d": {"password": "plain text"}}}}`, `]}`},
	{"packages", `{"stages": [{"name": "org.osbuildkit.apt", "options": {"packages": [`, `"p%d"`, `]}}]}`},
	{"packages that are none", `{"stages": [{"name": "org.osbuildkit.apt", "options": {"packages": [`, `"-%d"`, `]}}]}`},
	{"repositories", `{"stages": [{"name": "org.osbuildkit.apt", "options": {"packages": ["x"], "repos": [`, `{"suite": "s%d", "mirror": "http://x/", "components": ["a"]}`, `]}}]}`},
	{"repositories of RPM", `{"stages": [{"name": "org.osbuild.dnf", "options": {"packages": ["x"], "releasever": "1", "repos": [`, `{"id": "r%d", "baseurl": "http://x/", "gpgcheck": false}`, `]}}]}`},
	{"partitions", `{"stages": [], "assembler": {"name": "org.osbuild.qemu", "options": {"format": "raw", "filename": "a", "size": 1099511627776, "ptuuid": "76a22bf4-f153-4541-b6c7-0332c0dfaea0", "pttype": "gpt", "partitions": [`,
		`{"size": 2048, "luks": {"passphrase_secret": "x%d"}, "filesystem": {"type": "ext4", "uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "mountpoint": "/", "label": "x"}}`, `]}}}`},
	{"file systems of fstab", `{"stages": [{"name": "org.osbuild.fstab", "options": {"filesystems": [`, `{"label": "l%d", "vfs_type": "ext4", "path": "/p"}`, `]}}]}`},
	{"sources", `{"pipeline": {"stages": []}, "sources": {"org.osbuild.files": {"urls": {`, `"md5:%032d": "http://x/"`, `}}}}`},
	{"copied files", `{"stages": [{"name": "org.osbuild.copy", "options": {"paths": [`, `{"from": "input://tree/f%d", "to": "tree:///x"}`, `]}}]}`},
	{"arguments", `{"stages": [], "args": {`, `"A%d": {"type": "string", "default": ""}`, `}}`},
	{"uses of an argument", `{"args": {"A": {"type": "string", "default": "x"}}, "stages": [{"name": "org.osbuild.script", "options": {"script": "`, `${A} %d`, `"}}]}`},
	{"keys that are unknown", `{"stages": [], `, `"k%d": 1`, `}`},
	{"nested arrays", `{"stages": [{"name": "org.osbuild.noop", "options": {"x": [`, `[[[[[[[[%d]]]]]]]]`, `]}}]}`},
	{"labels of one kind", `{"stages": [{"name": "org.osbuild.selinux", "options": {"file_contexts": "x", "labels": {`, `"/p%d": "x"`, `}}}]}`},
}

// mostValues is a little less than the number of values that is read.
const mostValues = 490_000

// hostileText repeats the piece up to a number of values or a size, and fills
// the rest with spaces.
func hostileText(head, piece, tail string, size int) []byte {
	b := bytes.NewBufferString(head)
	separator := ", "
	if strings.HasPrefix(piece, "$") {
		separator = " "
	}
	// At most one value follows each of these.
	values := 1
	for _, before := range []string{":", ",", "[", "{"} {
		values += strings.Count(piece, before)
	}
	for i := 0; b.Len()+len(piece)+len(tail)+20 < size && (separator == " " || i*values < mostValues); i++ {
		if i > 0 {
			b.WriteString(separator)
		}
		fmt.Fprintf(b, piece, i)
	}
	b.WriteString(tail)
	return append(b.Bytes(), bytes.Repeat([]byte(" "), size-b.Len())...)
}

// checkText runs "osbuildkit check" on a text and throws away what it says.
func checkText(b *testing.B, text []byte) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "hostile.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for b.Loop() {
		var out bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &out}
		if code := a.run(context.Background(), []string{"check", file}); code != 0 && code != exitInvalid {
			b.Fatalf("exit code %d: %.500s", code, out.String())
		}
		if testing.Verbose() {
			fmt.Printf("%.300s\n", out.String())
		}
	}
}

// BenchmarkCheck checks hostile manifests of the largest size that is read.
func BenchmarkCheck(b *testing.B) {
	for _, h := range hostile {
		b.Run(strings.ReplaceAll(h.name, " ", "_"), func(b *testing.B) {
			checkText(b, hostileText(h.head, h.piece, h.tail, manifest.MaxSize))
		})
	}
	b.Run("honest_2_MB", func(b *testing.B) {
		checkText(b, hostileText(`{"stages": [`, `{"name": "org.osbuild.script", "options": {"script": "echo %d `+strings.Repeat("x", 2000)+`"}}`, `]}`, 2_000_000))
	})
}
