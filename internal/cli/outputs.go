package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/iohelper"

	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/internal/private"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// outputFile is a file of the result in the output directory.
type outputFile struct {
	// Path is the file, relative to the working directory if the output
	// directory is.
	Path string `json:"path"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// SHA256 is the checksum of the content in hex.
	SHA256 string `json:"sha256"`
	// Unchanged says that the file was there already.
	Unchanged bool `json:"unchanged,omitempty"`
}

// known remembers the checksums of files that this program has written, with
// the size and time that they had, so that a file of many gigabytes need not
// be read to see that it is still the same. A file that was touched is read.
type known struct {
	path  string
	files map[string]knownFile
	dirty bool
}

type knownFile struct {
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	SHA256   string    `json:"sha256"`
}

// maxKnown in bytes bounds the list: each file of a result takes a few hundred.
const maxKnown = maxArtifacts * 1 << 10

func openKnown(store string) *known {
	k := &known{path: filepath.Join(store, private.Outputs), files: map[string]knownFile{}}
	if data, err := private.ReadFile(k.path, maxKnown); err == nil && json.Unmarshal(data, &k.files) != nil {
		k.files = map[string]knownFile{}
	}
	return k
}

// matches says whether the file at path has the given size and checksum.
func (k *known) matches(path string, size int64, sum string) bool {
	st, err := os.Lstat(path)
	if err != nil || !st.Mode().IsRegular() || st.Size() != size {
		return false
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	if f, ok := k.files[abs]; ok && f.Size == size && f.Modified.Equal(st.ModTime()) {
		return f.SHA256 == sum
	}
	got, err := hashFile(path)
	if err != nil {
		return false
	}
	k.remember(path, got)
	return got == sum
}

// remember notes the checksum of a file as it is now.
func (k *known) remember(path, sum string) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return
	}
	if st, err := os.Lstat(path); err == nil {
		k.files[abs] = knownFile{Size: st.Size(), Modified: st.ModTime(), SHA256: sum}
		k.dirty = true
	}
}

// save writes what is known. That it cannot be written costs time at the next
// build and nothing else, so it is no error.
func (k *known) save() {
	if !k.dirty {
		return
	}
	for path := range k.files {
		if _, err := os.Lstat(path); err != nil {
			delete(k.files, path)
		}
	}
	data, err := json.Marshal(k.files)
	if err != nil {
		return
	}
	p, err := newPartial(filepath.Dir(k.path), filepath.Base(k.path))
	if err != nil {
		return
	}
	p.private = true
	defer p.discard()
	if _, err := p.f.Write(data); err == nil {
		p.commit(int64(len(data)), false)
	}
}

func hashFile(path string) (string, error) {
	f, err := private.OpenRegular(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// archiveFile receives a result that leaves as one archive.
type archiveFile struct {
	*partial
	sum  interface{ Sum([]byte) []byte }
	out  io.Writer
	path string
}

// exportArchive asks for the result as an archive in the output directory: a
// tree as a tar file, as it never leaves as a directory, which would lose
// owners and devices; a container disk as an OCI image.
func (r *request) exportArchive(opt *client.SolveOpt, target string) (*archiveFile, error) {
	entry := client.ExportEntry{Type: client.ExporterTar}
	if target == frontend.ContainerDiskTarget {
		entry.Type = client.ExporterOCI
		entry.Attrs = map[string]string{"rewrite-timestamp": "true"}
	}
	path := filepath.Join(r.flags.outputDir, archiveName(target))
	p, err := newPartial(r.flags.outputDir, archiveName(target))
	if err != nil {
		return nil, err
	}
	// It has the files that only root can read in the tree.
	p.private = true
	h := sha256.New()
	t := &archiveFile{partial: p, sum: h, out: io.MultiWriter(p, h), path: path}
	entry.Output = func(map[string]string) (io.WriteCloser, error) { return &iohelper.NopWriteCloser{Writer: t.out}, nil }
	opt.Exports = []client.ExportEntry{entry}
	return t, nil
}

// commit gives the archive its name.
func (t *archiveFile) commit() (outputFile, error) {
	size := t.Written()
	if err := t.partial.commit(size, false); err != nil {
		return outputFile{}, err
	}
	return outputFile{Path: t.path, Size: size, SHA256: hex.EncodeToString(t.sum.Sum(nil))}, nil
}

// manifest is what was built: the ids of one with "base" depend on the tree that
// was found under it.
func (r *request) manifest() *manifest.Manifest {
	if r.outcome != nil && r.outcome.Manifest != nil {
		return r.outcome.Manifest
	}
	return r.src.m
}

// report prints what a build has made.
func (a *app) report(r *request) error {
	m := r.manifest()
	if r.flags.json {
		return a.printJSON(jsonResult{Success: true, TreeID: m.TreeID(), OutputID: m.OutputID(), Outputs: r.files})
	}
	if id := m.TreeID(); id != "" {
		fmt.Fprintf(a.stdout, "tree id: %s\n", id)
	}
	if id := m.OutputID(); id != "" {
		fmt.Fprintf(a.stdout, "output id: %s\n", id)
	}
	for _, f := range r.files {
		note := ""
		if f.Unchanged {
			note = ", unchanged"
		}
		fmt.Fprintf(a.stdout, "%s (%s%s)\n", f.Path, formatSize(f.Size), note)
	}
	return nil
}

// formatSize writes a number of bytes for people.
func formatSize(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, prefixes := float64(n)/unit, "KMGT"
	for v >= unit && len(prefixes) > 1 {
		v /= unit
		prefixes = prefixes[1:]
	}
	return fmt.Sprintf("%.1f %ciB", v, prefixes[0])
}
