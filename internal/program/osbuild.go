package program

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/osbuildkit/osbuildkit/module"
)

// Places that osbuild's own modules know, below RunDir.
const (
	// RunDir is where a step's files are.
	RunDir        = "/run/osbuild"
	argumentsFile = "api/arguments"
	apiSocket     = "api/osbuild"
	loopSocket    = "api/remoteloop"
	metaFile      = "meta"
	libDir        = "lib"
	inputsDir     = "inputs"
	mountsDir     = "mounts"
)

// arguments are what osbuild's modules read from /run/osbuild/api/arguments.
type arguments struct {
	Tree      string            `json:"tree"`
	Paths     map[string]string `json:"paths"`
	Devices   map[string]any    `json:"devices"`
	Inputs    map[string]input  `json:"inputs"`
	Mounts    map[string]any    `json:"mounts"`
	Options   json.RawMessage   `json:"options"`
	OutputDir string            `json:"output_dir,omitempty"`
	Meta      meta              `json:"meta"`
}

type input struct {
	Path string          `json:"path"`
	Data json.RawMessage `json:"data"`
}

type meta struct {
	ID    string `json:"id,omitempty"`
	Epoch int64  `json:"source-epoch"`
}

// osbuild is what a program finds around it: osbuild's files and sockets.
type osbuild struct {
	dir    string
	server *server
}

// Quoted keys in the text of a module.
var (
	inputsKey = regexp.MustCompile(`["']inputs["']`)
	outputKey = regexp.MustCompile(`["']output_dir["']`)
)

// readsOutputDir reports whether an assembler is of the time before inputs, in
// which it read the tree from "tree" and wrote to "output_dir". Today "tree" is
// the directory that it writes to and the tree is an input; nothing but its
// text tells which of the two it wants.
func readsOutputDir(text []byte) bool { return outputKey.Match(text) && !inputsKey.Match(text) }

// usesDatagrams reports whether the package osbuild in lib is of the time
// when it spoke over SOCK_DGRAM. A socket can be of one type only.
func usesDatagrams(lib string) bool {
	for _, name := range []string{"osbuild/util/jsoncomm.py", "osbuild/api.py"} {
		text, _ := readPart(filepath.Join(lib, name)) // it need not be there
		if bytes.Contains(text, []byte("SOCK_SEQPACKET")) {
			return false
		}
		if bytes.Contains(text, []byte("SOCK_DGRAM")) {
			return true
		}
	}
	return false
}

// maxText bounds what is read of a program to find out what it wants.
const maxText = 1 << 20

func readPart(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxText))
}

// provide makes osbuild's files and sockets in dir. The contract is what is
// given to modules that ask a socket for it, and log the step's log.
func provide(dir, file string, in *module.Input, contract []byte, log io.Writer) (*osbuild, error) {
	for _, name := range []string{"api", inputsDir, mountsDir} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	text, err := readPart(file)
	if err != nil {
		text = nil // starting it says why
	}
	data, err := json.Marshal(newArguments(dir, in, readsOutputDir(text)))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, argumentsFile), data, 0o444); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, metaFile), nil, 0o644); err != nil {
		return nil, err
	}
	o := &osbuild{dir: dir}
	out, _ := log.(*os.File)
	o.server, err = listen(server{contract: contract, log: out, packets: !usesDatagrams(filepath.Join(dir, libDir))},
		filepath.Join(dir, apiSocket), filepath.Join(dir, loopSocket))
	return o, err
}

func newArguments(dir string, in *module.Input, old bool) *arguments {
	a := &arguments{
		Tree:    in.Tree,
		Paths:   map[string]string{"devices": "/dev", "inputs": filepath.Join(dir, inputsDir), "mounts": filepath.Join(dir, mountsDir)},
		Devices: map[string]any{}, Inputs: map[string]input{}, Mounts: map[string]any{},
		Options: in.Options, OutputDir: in.OutputDir, Meta: meta{in.ID, in.Epoch},
	}
	for name, path := range in.Inputs {
		data := in.InputData[name]
		if len(data) == 0 {
			data = json.RawMessage("{}")
		}
		a.Inputs[name] = input{path, data}
	}
	if in.OutputDir != "" && !old {
		a.Inputs["tree"] = input{in.Tree, json.RawMessage("{}")}
		a.Tree = in.OutputDir
	}
	return a
}

// close ends the service and says what the module has left: its metadata, and
// if it has failed what is known about that beyond its own log.
func (o *osbuild) close(name string, failed bool, stdout, stderr io.Writer) {
	o.server.close()
	for _, n := range o.server.notes {
		fmt.Fprintf(stderr, "%s: %s\n", name, n)
	}
	if text := o.metadata(); text != "" {
		fmt.Fprintf(stdout, "%s: metadata: %s\n", name, text)
	}
	if !failed {
		return
	}
	if o.server.asked {
		fmt.Fprintf(stderr, "%s: it asks for a loop device, and a step has none: take it out of the directory of modules, so that the built-in one is used\n", name)
	}
	if e := o.server.exception; e != nil {
		fmt.Fprintf(stderr, "%s: %s: %s\n", name, clip(e.Type), clip(e.Value))
	}
}

// metadata returns what the module has written to the metadata file or sent,
// on one line.
func (o *osbuild) metadata() string {
	data := o.server.metadata
	st, err := os.Lstat(filepath.Join(o.dir, metaFile))
	if err == nil && st.Mode().IsRegular() && st.Size() > 0 {
		if st.Size() > maxMetadata {
			return fmt.Sprintf("left out, as it is larger than %d MiB", maxMetadata>>20)
		}
		if data, err = os.ReadFile(filepath.Join(o.dir, metaFile)); err != nil {
			return err.Error()
		}
	}
	if len(data) == 0 {
		return ""
	}
	var line bytes.Buffer
	if err := json.Compact(&line, data); err != nil {
		return "is no JSON: " + err.Error()
	}
	return clip(line.String())
}

// maxClip bounds a line that is made of what a module has said, in bytes.
const maxClip = 4000

// clip makes one line of a text that can be shown.
func clip(s string) string {
	cut := ""
	if len(s) > maxClip {
		s, cut = s[:maxClip], "…"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r == 0x7f:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "")) + cut
}

// pythonHint says that the package is missing that a module in Python imports.
// It looks where a build root has its own one.
func (o *osbuild) pythonHint() string {
	if _, err := os.Stat(filepath.Join(o.dir, libDir, "osbuild", "__init__.py")); !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	for _, pattern := range []string{"/usr/lib/python3*/*-packages/osbuild", "/usr/local/lib/python3*/*-packages/osbuild", "/usr/lib/python3/dist-packages/osbuild"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 { // the pattern is a good one
			return ""
		}
	}
	return "there is no Python package osbuild, neither in the directory of modules nor in the build root: put the package's directory there as osbuild/, beside stages/"
}
