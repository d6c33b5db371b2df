package program

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// shortDir is a directory whose name leaves room for that of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// python writes a module in Python, which finds the package in testdata/lib.
func python(t *testing.T, lib, text string) (file, dir string) {
	t.Helper()
	const interpreter = "/usr/bin/python3"
	if _, err := os.Stat(interpreter); err != nil {
		t.Skipf("python3 is not installed: %v", err)
	}
	dir = shortDir(t)
	if err := os.CopyFS(filepath.Join(dir, libDir), os.DirFS(filepath.Join("testdata", lib))); err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll("#!"+interpreter+" -B\nimport json, os, sys\nimport osbuild.api\n"+text, "RUN", `"`+dir+`"`)
	return write(t, "mine", text), dir
}

const bothForms = `
def show(a):
    print(a["tree"], a["options"], a.get("output_dir"), sorted(a.get("inputs", {})), flush=True)
`

func TestOsbuildModules(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, lib, text, stdin, log string
		code                        int
	}{
		{name: "arguments", lib: "today", stdin: `{"tree": "/t", "options": {"a": 1}, "id": "abc", "epoch": 7, "inputs": {"packages": "/in"}, "input_data": {"packages": {"files": {"sha256:ab": {}}}}}`,
			text: bothForms + `
a = osbuild.api.arguments(RUN + "/api/arguments")
show(a)
print(a["meta"], a["inputs"]["packages"]["path"], list(a["inputs"]["packages"]["data"]["files"]), a["devices"], a["mounts"], a["paths"]["inputs"].startswith(RUN))
print(os.environ["PYTHONPATH"] == RUN + "/lib", os.environ["container"], os.environ["SOURCE_DATE_EPOCH"])
`,
			log: "/t {'a': 1} None ['packages']\n{'id': 'abc', 'source-epoch': 7} /in ['sha256:ab'] {} {} True\nTrue bwrap-osbuild 7\n"},
		{name: "assembler of today", lib: "today", stdin: `{"tree": "/t", "options": {}, "output_dir": "OUT"}`,
			text: `
a = osbuild.api.arguments(RUN + "/api/arguments")
print(a["inputs"]["tree"]["path"])
open(a["tree"] + "/file", "w").close()
`,
			log: "/t\n"},
		{name: "assembler of 2020", lib: "2020", stdin: `{"tree": "/t", "options": {}, "output_dir": "OUT"}`,
			text: `
a = osbuild.api.arguments(RUN + "/api/osbuild")
print(a["tree"])
open(a["output_dir"] + "/file", "w").close()
a = json.load(open(RUN + "/api/arguments"))
print(a["tree"])
`,
			log: "/t\n/t\n"},
		{name: "standard files", lib: "2020", stdin: `{"tree": "/t", "options": {"b": "c"}}`,
			text: bothForms + `
print("before", flush=True)
osbuild.api.setup_stdio(RUN + "/api/osbuild")
show(json.load(sys.stdin))
print("error", file=sys.stderr)
`,
			log: "before\n/t {'b': 'c'} None []\nerror\n"},
		{name: "contract on standard input", lib: "today", stdin: `{"tree": "/t"}`, text: bothForms + "show(json.load(sys.stdin))", log: "/t {} None []\n"},
		{name: "metadata", lib: "today", stdin: `{"tree": "/t"}`, text: `osbuild.api.metadata({"packages": ["a", "b"]}, RUN + "/meta")`,
			log: "mine: metadata: {\"packages\":[\"a\",\"b\"]}\n"},
		{name: "metadata through the socket", lib: "2020", stdin: `{"tree": "/t"}`, text: `osbuild.api.metadata({"a": 1}, RUN + "/api/osbuild")`,
			log: "mine: metadata: {\"a\":1}\n"},
		{name: "exception", lib: "today", stdin: `{"tree": "/t"}`, code: 2, text: `
with osbuild.api.exception_handler(RUN + "/api/osbuild"):
    sys.stderr = open("/dev/null", "w")
    raise ValueError("no\nluck")
`,
			log: "mine: exit code 2\nmine: ValueError: no luck\n"},
		{name: "loop device", lib: "today", stdin: `{"tree": "/t"}`, code: 3, text: `
from osbuild.util import jsoncomm
try:
    jsoncomm.send(RUN + "/api/remoteloop", {"fd": 0, "dir_fd": 1})
except OSError: # it may have been closed before
    pass
sys.exit(3)
`,
			log: "mine: exit code 3\nmine: it asks for a loop device, and a step has none: take it out of the directory of modules, so that the built-in one is used\n"},
		{name: "unknown method", lib: "2020", stdin: `{"tree": "/t"}`, text: `
from osbuild.util import jsoncomm
print(jsoncomm.ask(RUN + "/api/osbuild", {"method": "get-sources"})[0]["type"], flush=True)
jsoncomm.send(RUN + "/api/osbuild", 3)
`,
			log: "error\nmine: it has asked the API for \"get-sources\", which is not known\n" +
				"mine: it has sent a message to the API that is no JSON object: json: cannot unmarshal number into Go value of type program.message\n"},
		{name: "metadata that is none", lib: "2020", stdin: `{"tree": "/t"}`, text: `
from osbuild.util import jsoncomm
r, w = os.pipe()
jsoncomm.send(RUN + "/api/osbuild", {"method": "add-metadata", "metadata": 0}, [r])
jsoncomm.send(RUN + "/api/osbuild", {"method": "add-metadata", "metadata": 0})
open(RUN + "/meta", "w").write("{")
`,
			log: "mine: answering \"add-metadata\" on the API: metadata is a regular file of at most 16 MiB\n" +
				"mine: answering \"add-metadata\" on the API: the message names no descriptor that came with it\n" +
				"mine: metadata: is no JSON: unexpected end of JSON input\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file, dir := python(t, c.lib, c.text)
			out := t.TempDir()
			log, err := os.Create(filepath.Join(t.TempDir(), "log"))
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			code := Main([]string{"program", file, "--python", "--run", dir}, strings.NewReader(strings.ReplaceAll(c.stdin, "OUT", out)), log, log)
			got, err := os.ReadFile(log.Name())
			if err != nil || code != c.code {
				t.Errorf("exit code %d, %v", code, err)
			}
			if d := cmp.Diff(c.log, string(got)); d != "" {
				t.Error(d)
			}
			if _, err := os.Stat(filepath.Join(out, "file")); strings.Contains(c.stdin, "OUT") && err != nil {
				t.Error(err)
			}
		})
	}
}

// A module in any language finds the arguments, and what it sends is read
// although it has ended by then.
func TestApiInShell(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	file := write(t, "mine", "#!/bin/sh\ncat "+dir+"/api/arguments; echo; echo '{\"x\": 1}' > "+dir+"/meta; test -S "+dir+"/api/osbuild")
	var stdout, stderr bytes.Buffer
	code := Main([]string{"program", file, "--run", dir}, strings.NewReader(`{"tree": "/t", "output_dir": "`+t.TempDir()+`"}`), &stdout, &stderr)
	line, rest, _ := strings.Cut(stdout.String(), "\n")
	var a arguments
	if err := json.Unmarshal([]byte(line), &a); err != nil || code != 0 || stderr.Len() > 0 {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, &stdout, &stderr)
	}
	if a.Inputs["tree"].Path != "/t" || a.Tree != a.OutputDir || rest != "mine: metadata: {\"x\":1}\n" {
		t.Errorf("%+v\n%s", a, rest)
	}
}

// What a module does to the sockets ends neither the runner nor the log.
func TestHostileClients(t *testing.T) {
	t.Parallel()
	for _, packets := range []bool{true, false} {
		dir := shortDir(t)
		s, err := listen(server{contract: []byte("{}"), packets: packets}, dir+"/a", dir+"/b")
		if err != nil {
			t.Fatal(err)
		}
		kind := unix.SOCK_DGRAM
		if packets {
			kind = unix.SOCK_SEQPACKET
		}
		for i := range maxClients * 2 {
			fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			// Not all are let in, and those without a name get no answer.
			if unix.Connect(fd, &unix.SockaddrUnix{Name: dir + "/a"}) != nil {
				continue
			}
			_, _ = unix.Write(fd, fmt.Appendf(nil, `{"method": "x%d"}`, i))
			_, _ = unix.Write(fd, []byte(`{"method": "get-arguments"}`))
			_, _ = unix.Write(fd, nil)
		}
		s.close()
		if len(s.notes) == 0 || len(s.notes) > 10 {
			t.Errorf("%d notes: %q", len(s.notes), s.notes)
		}
	}
}

func TestPythonHint(t *testing.T) {
	t.Parallel()
	o := &osbuild{dir: shortDir(t)}
	if got := o.pythonHint(); !strings.HasPrefix(got, "there is no Python package osbuild") {
		t.Error(got)
	}
	if err := os.CopyFS(filepath.Join(o.dir, libDir), os.DirFS("testdata/today")); err != nil {
		t.Fatal(err)
	}
	if got := o.pythonHint(); got != "" {
		t.Error(got)
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"method": "exception", "exception": {"type": "ValueError", "value": "x"}}`))
	f.Add([]byte(`{"method": "add-metadata", "metadata": 0}`))
	f.Add([]byte(`{"method": "get-arguments"}`))
	f.Add([]byte(`{"method": "setup-stdio"}`))
	f.Add([]byte(`[{"method": null}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &server{contract: []byte("{}")}
		s.handle(data, nil, func(any, ...*os.File) error { return nil })
		o := &osbuild{dir: t.TempDir(), server: s}
		s.asked = true
		if text := o.metadata(); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
			t.Errorf("%q", text)
		}
	})
}
