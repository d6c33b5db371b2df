package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/moby/buildkit/client"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/spf13/pflag"
	"github.com/tonistiigi/fsutil"

	"github.com/osbuildkit/osbuildkit/frontend"
	graph "github.com/osbuildkit/osbuildkit/llb"
)

func addContextFlag(fl *pflag.FlagSet, dir *string) {
	fl.StringVar(dir, "context", "", "`DIRECTORY` that org.osbuild.copy takes files from; by default that of the manifest")
}

// ignoreFile is the name of the file that says what of a context no build sees. One
// with the name of a build file before it is for that file, and comes first.
const ignoreFile = ".dockerignore"

// maxIgnoreFile bounds such a file.
const maxIgnoreFile = 1 << 20

var errNoContextDir = errors.New("the manifest comes from standard input, so it lies in no directory to copy files from: " +
	"give one with --context")

// findContext finds the build context, and reports files of it that the manifest
// copies and that are not there. A manifest that copies none needs none.
func (s *source) findContext(name string, f *manifestFlags) error {
	if !frontend.UsesContext(s.m) {
		if f.context != "" {
			return usageError("--context %s: %s copies no file of the context", f.context, s.name)
		}
		return nil
	}
	if s.context = f.context; s.context == "" && name != "-" {
		s.context = filepath.Dir(name)
	}
	missing := func(string) error { return errNoContextDir }
	if s.context != "" {
		dir, err := os.OpenRoot(s.context)
		if err != nil {
			return usageError("--context: %w", err)
		}
		defer dir.Close()
		if err := s.readIgnore(name); err != nil {
			return err
		}
		ignored, err := patternmatcher.New(s.ignore)
		if err != nil {
			return usageError("%s: %w", ignoreFile, err)
		}
		missing = func(name string) error { return missingFile(dir, name, ignored) }
	}
	if wrong := graph.CheckContext(s.m, s.m.Pipelines, missing); len(wrong) > 0 {
		return wrong
	}
	return nil
}

// missingFile reports a file that a directory does not have, or that its file
// .dockerignore leaves out. Whatever else may be wrong the build will say.
func missingFile(dir *os.Root, name string, ignored *patternmatcher.PatternMatcher) error {
	_, err := dir.Stat(filepath.FromSlash(name))
	if errors.Is(err, fs.ErrNotExist) {
		return frontend.MissingFile(name, dir.Name(), ignored)
	}
	if out, err := ignored.MatchesOrParentMatches(name); err == nil && out && !ignored.Exclusions() {
		return frontend.MissingFile(name, dir.Name(), ignored)
	}
	return nil
}

// readIgnore reads the file that says what of the context is left out.
func (s *source) readIgnore(name string) error {
	files := []string{filepath.Join(s.context, ignoreFile)}
	if name != "-" {
		files = []string{name + ignoreFile, files[0]}
	}
	for i, file := range files {
		f, err := os.Open(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		defer f.Close()
		if s.ignore, err = ignorefile.ReadAll(io.LimitReader(f, maxIgnoreFile)); err != nil {
			return usageError("%s: %w", file, err)
		}
		if len(files) > 1 && i == 0 {
			s.ownIgnore = file
		}
		return nil
	}
	return nil
}

// serveContext makes the build context part of a session. Of a manifest that copies
// nothing it is the directory with the manifest alone.
func (s *source) serveContext(opt *client.SolveOpt, manifestDir string, alone fsutil.FS) error {
	opt.LocalMounts["context"] = alone
	if s.context == "" {
		return nil
	}
	dir, err := fsutil.NewFS(s.context)
	if err != nil {
		return err
	}
	opt.LocalMounts["context"] = dir
	if s.ownIgnore == "" {
		return nil
	}
	data, err := os.ReadFile(s.ownIgnore)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(manifestDir, filepath.Base(s.ownIgnore)), data, 0o644)
}
