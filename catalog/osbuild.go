package catalog

import (
	"io/fs"
	"path"
	"regexp"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// metaSuffix is the end of the name of osbuild's own descriptions.
const metaSuffix = ".meta.json"

// maxScript bounds, in bytes, the programs that are looked at for what they
// say about themselves. osbuild's own have a hundredth of it.
const maxScript = 1 << 20

// Programs that are written for osbuild's surroundings: in Python, and with an
// import of its package.
var (
	pythonProgram = regexp.MustCompile(`^#![^\n]*python`)
	pythonImport  = regexp.MustCompile(`(?m)^[ \t]*(?:import|from)[ \t]+osbuild\b`)
)

// readOsbuild finds out whether a program is one of osbuild's, and if described is
// set how osbuild describes it: in NAME.meta.json, or else in the text of the
// program.
func (m *UserModule) readOsbuild(dir Dir, size int64, describe bool, meta fs.DirEntry) {
	var text []byte
	if size <= maxScript {
		var err error
		if text, err = dir.ReadFile(m.Program); err != nil {
			m.Problem = m.Program + ": " + err.Error()
			return
		}
	}
	python := pythonProgram.Match(text)
	m.Python = python && pythonImport.Match(text)
	if !describe {
		return
	}
	var d *manifest.ModuleFile
	file := m.Program
	switch {
	case meta != nil:
		file = path.Join(path.Dir(m.Program), meta.Name())
		info, err := meta.Info()
		var data []byte
		switch {
		case err != nil:
		case !info.Mode().IsRegular():
			m.Problem = file + " is " + what(info.Mode().Type()) + "; put the file itself there"
			return
		case info.Size() > manifest.MaxModuleFile:
			m.Problem = file + " is larger than a description may be"
			return
		default:
			data, err = dir.ReadFile(file)
		}
		if err != nil {
			m.Problem = file + ": " + err.Error()
			return
		}
		if d, err = manifest.ParseOsbuildMeta(data); err != nil {
			m.Problem = file + ": " + err.Error()
			return
		}
	case python:
		var err error
		if d, err = manifest.ParseOsbuildSource(text); err != nil {
			m.Problem = file + ": " + err.Error()
			return
		}
	default:
		return
	}
	if d.Summary != "" {
		m.Summary = d.Summary
	}
	m.Description, m.schema = d.Description, d.Schema
}
