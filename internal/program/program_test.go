package program

import (
	"bytes"
	"debug/elf"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

// write makes an executable file.
func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	treetest.Program(t, file, []byte(text))
	return file
}

func TestProgram(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, text, stdin, stdout, stderr string
		code                              int
	}{
		{name: "contract", text: "#!/bin/sh\ncat", stdin: `{"tree": "/t", "options": {"b": 1.0}, "epoch": 7, "inputs": {"x": "/y"}, "build_root": "/"}`,
			stdout: `{"tree":"/t","options":{"b":1.0}}` + "\n"},
		{name: "no options", text: "#!/bin/sh\ncat", stdin: `{"tree": "/t"}`, stdout: `{"tree":"/t","options":{}}` + "\n"},
		{name: "environment", text: "#!/bin/sh\nenv | grep -v ^PWD= | LC_ALL=C sort", stdin: `{"tree": "/t", "epoch": 7}`,
			stdout: "HOME=/root\nLC_ALL=C.UTF-8\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nSOURCE_DATE_EPOCH=7\nTZ=UTC\n"},
		{name: "one log", text: "#!/bin/sh\necho a; echo b >&2; echo c; pwd", stdin: `{"tree": "/t"}`, stdout: "a\nb\nc\n/\n"},
		{name: "exit code", text: "#!/bin/sh\necho no luck; exit 3", stdin: `{"tree": "/t"}`, stdout: "no luck\n", stderr: "mine: exit code 3\n", code: 3},
		{name: "killed", text: "#!/bin/sh\nkill -9 $$", stdin: `{"tree": "/t"}`, code: 137,
			stderr: "mine: killed by signal 9 (killed); where nobody has done it, the builder was out of memory\n"},
		{name: "terminated", text: "#!/bin/sh\nkill -TERM $$", stdin: `{"tree": "/t"}`, code: 143, stderr: "mine: killed by signal 15 (terminated)\n"},
		{name: "does not read", text: "#!/bin/sh\nexit 0", stdin: `{"tree": "/t", "options": {"a": "` + strings.Repeat("x", 1<<20) + `"}}`},
		{name: "missing interpreter", text: "#!/usr/bin/no-such-python3 -u\nprint()", stdin: `{"tree": "/t"}`, code: 127,
			stderr: "mine: its interpreter /usr/bin/no-such-python3 is not in the build root: install it there, or write the module in another language\n"},
		{name: "missing interpreter inside", text: "#!/usr/bin/no-such-python3", stdin: `{"tree": "/"}`, code: 127,
			stderr: "mine: its interpreter /usr/bin/no-such-python3 is not in the tree: install it there, or write the module in another language\n"},
		{name: "missing interpreter of env", text: "#!/usr/bin/env no-such-python3\nprint()", stdin: `{"tree": "/t"}`, code: 127,
			stdout: "env: 'no-such-python3': No such file or directory\n",
			stderr: "mine: its interpreter no-such-python3 is not in the build root: install it there, or write the module in another language\n"},
		{name: "its own 127", text: "#!/bin/sh\nexit 127", stdin: `{"tree": "/t"}`, code: 127, stderr: "mine: exit code 127\n"},
		{name: "interpreter is no program", text: "#!/etc\n", stdin: `{"tree": "/t"}`, code: 127, stderr: "mine: its interpreter /etc is no program in the build root\n"},
		{name: "line ends", text: "#!/bin/sh\r\necho\r\n", stdin: `{"tree": "/t"}`, code: 127,
			stderr: "mine: its first line ends with a carriage return: save the file with the line ends of Unix\n"},
		{name: "no first line", text: "echo hello\n", stdin: `{"tree": "/t"}`, code: 127,
			stderr: "mine: is neither a script, with \"#!\" and an interpreter in its first line, nor a program for this machine\n"},
		{name: "broken program", text: "\x7fELF", stdin: `{"tree": "/t"}`, code: 127, stderr: "mine: is not a program that can be run: EOF\n"},
		{name: "bad contract", text: "#!/bin/sh\n", stdin: `{}`, code: 2, stderr: "osbuildkit-runner: the contract names no \"tree\"\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			if code := Main([]string{"program", write(t, "mine", c.text)}, strings.NewReader(c.stdin), &stdout, &stderr); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			// The words for quotes depend on the system's env.
			got := strings.NewReplacer("‘", "'", "’", "'").Replace(stdout.String())
			if d := cmp.Diff(c.stdout, strings.TrimPrefix(got, "/usr/bin/")); d != "" {
				t.Errorf("stdout: %s", d)
			}
			if d := cmp.Diff(c.stderr, stderr.String()); d != "" {
				t.Errorf("stderr: %s", d)
			}
		})
	}
}

func TestNotAProgram(t *testing.T) {
	t.Parallel()
	plain := write(t, "plain", "#!/bin/sh\n")
	if err := os.Chmod(plain, 0o644); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		plain:            "plain: is not executable: chmod +x it\n",
		"/nonexistent/x": "x: cannot be started: stat /nonexistent/x: no such file or directory\n",
		"/etc":           "etc: is not a file\n",
	} {
		var stdout, stderr bytes.Buffer
		if code := Main([]string{"program", file}, strings.NewReader(`{"tree": "/t"}`), &stdout, &stderr); code != 127 || stderr.String() != want {
			t.Errorf("%s: exit code %d, %s", file, code, stderr.String())
		}
	}
	var stdout, stderr bytes.Buffer
	if code := Main([]string{"module", "x"}, strings.NewReader(""), &stdout, &stderr); code != 2 || !strings.HasPrefix(stderr.String(), "usage: ") {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
}

// elfHeader returns a 64 bit little-endian program for a machine that needs a
// loader.
func elfHeader(machine elf.Machine, loader string) string {
	h := make([]byte, 64+56)
	copy(h, elf.ELFMAG)
	h[4], h[5], h[6] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	h[16], h[20], h[32], h[52], h[54], h[56] = byte(elf.ET_EXEC), 1, 64, 64, 56, 1
	h[18], h[19] = byte(machine), byte(machine>>8)
	p := h[64:]
	p[0], p[8], p[32], p[40] = byte(elf.PT_INTERP), 120, byte(len(loader)+1), byte(len(loader)+1)
	return string(h) + loader + "\x00"
}

func TestMissingLoader(t *testing.T) {
	t.Parallel()
	if machine() == elf.EM_NONE {
		t.Skipf("machine not known: %s", runtime.GOARCH)
	}
	file := write(t, "mine", elfHeader(machine(), "/lib/no-such-loader.so"))
	if got, want := missing(file, "the tree"), "needs the loader /lib/no-such-loader.so, which is not in the tree: link it statically, or install the C library there"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	file = write(t, "mine", elfHeader(elf.EM_S390, "/lib/ld.so"))
	if got := missing(file, "the tree"); !strings.HasPrefix(got, "is a program for EM_S390, and the step runs on EM_") {
		t.Error(got)
	}
}

// A signal to the runner reaches the program, whose exit code is passed on.
func TestSignalsArePassedOn(t *testing.T) {
	if os.Getenv("OSBUILDKIT_TEST_PROGRAM") != "" {
		os.Exit(Main([]string{"program", os.Getenv("OSBUILDKIT_TEST_PROGRAM")}, os.Stdin, os.Stdout, os.Stderr))
	}
	t.Parallel()
	file := write(t, "mine", "#!/bin/sh\ntrap 'echo stopped; exit 9' TERM\necho ready\nwhile :; do sleep 0.1; done\n")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSignalsArePassedOn$")
	cmd.Env = append(os.Environ(), "OSBUILDKIT_TEST_PROGRAM="+file)
	cmd.Stdin = strings.NewReader(`{"tree": "/t"}`)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	if n, err := out.Read(buf); err != nil || string(buf[:n]) != "ready\n" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(out)
	_ = cmd.Wait()
	// The shell may say that its sleep has been ended as well.
	if !strings.HasSuffix(string(rest), "stopped\n") || cmd.ProcessState.ExitCode() != 9 {
		t.Errorf("%q, exit code %d", rest, cmd.ProcessState.ExitCode())
	}
}

func TestOutput(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, script, stderr, sums string
		code                       int
	}{
		{name: "checksums", script: "echo a > b; mkdir d; echo c > d/e", sums: "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7  b\n" +
			"a3a5e715f0cc574a73c3f9bebb6bc24f32ffd5b67b387244c2c909da779a1478  d/e\n"},
		{name: "its own checksums", script: "echo a > b; echo own > SHA256SUMS", sums: "own\n"},
		{name: "nothing", script: ":"},
		{name: "fails", script: "echo a > b; exit 4", code: 4, stderr: "zip: exit code 4\n"},
		{name: "link", script: "ln -s /etc/passwd p", code: 1,
			stderr: "zip: it has written p into the output directory, which is neither a file nor a directory but of type L---------\n"},
		{name: "link as checksums", script: "echo a > b; ln -s b SHA256SUMS", code: 1,
			stderr: "zip: it has written SHA256SUMS into the output directory, which is neither a file nor a directory but of type L---------\n"},
		{name: "name", script: "echo > 'a\nb'", code: 1,
			stderr: "zip: it has written \"a\\nb\" into the output directory: a name may hold no control character, no backslash and no invalid UTF-8\n"},
		{name: "list of packages", script: "echo > packages.json", code: 1,
			stderr: "zip: it has written packages.json into the output directory: \"packages.json\" is a name that the build itself writes, for the list of the tree's packages: choose another file name\n"},
		{name: "a directory of that name", script: "mkdir packages.json", code: 1,
			stderr: "zip: it has written packages.json into the output directory: \"packages.json\" is a name that the build itself writes, for the list of the tree's packages: choose another file name\n"},
		{name: "provenance in another case", script: "echo > Provenance.json", code: 1,
			stderr: "zip: it has written Provenance.json into the output directory: \"Provenance.json\" is a name that the build itself writes, for the provenance: choose another file name\n"},
		{name: "checksums as a directory", script: "mkdir SHA256SUMS", code: 1,
			stderr: "zip: it has written SHA256SUMS into the output directory: \"SHA256SUMS\" is a name that the build itself writes, for the list of checksums: choose another file name\n"},
		{name: "below a directory", script: "mkdir d; echo c > d/packages.json", sums: "a3a5e715f0cc574a73c3f9bebb6bc24f32ffd5b67b387244c2c909da779a1478  d/packages.json\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var stdout, stderr bytes.Buffer
			file := write(t, "zip", "#!/bin/sh\ncd \"$(sed 's/.*\"output_dir\":\"\\([^\"]*\\)\".*/\\1/')\" || exit 99\n"+c.script+"\n")
			code := Main([]string{"program", file}, strings.NewReader(`{"tree": "/t", "output_dir": "`+dir+`"}`), &stdout, &stderr)
			if code != c.code || stderr.String() != c.stderr {
				t.Errorf("exit code %d, %s%s\nwant %d, %s", code, &stdout, &stderr, c.code, c.stderr)
			}
			sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
			if c.code == 0 && (string(sums) != c.sums || err != nil && c.sums != "") {
				t.Errorf("%s, %v", sums, err)
			}
		})
	}
}
