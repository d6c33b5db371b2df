package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/tonistiigi/fsutil/types"

	"github.com/osbuildkit/osbuildkit/module"
)

// checksumsFile is where an assembler lists the SHA-256 of its files.
const checksumsFile = module.ChecksumsFile

// Files are fetched in pieces through the gateway rather than by an exporter:
// an exporter sends a file again although it is there already, and fills its
// holes. Pieces are small: each passes through several buffers, and large
// ones are fresh memory every time, which takes longer than all the rest.
const (
	pieceSize  = 1 << 20
	pieceAhead = 3
)

// maxArtifacts bounds the number of files in a result. Repositories of OSTree
// have as many as the system has.
const maxArtifacts = 500000

// downloadAll brings the files of a result into the output directory: of each
// platform into a directory of its own, named as BuildKit's exporters name it,
// if there are several.
func (r *request) downloadAll(ctx context.Context, res *gwclient.Result) ([]outputFile, error) {
	if len(res.Refs) == 0 {
		ref, err := res.SingleRef()
		if err != nil {
			return nil, err
		}
		return r.download(ctx, ref, "")
	}
	var out []outputFile
	for _, platform := range slices.Sorted(maps.Keys(res.Refs)) {
		files, err := r.download(ctx, res.Refs[platform], platformDir("", platform))
		if err != nil {
			return nil, err
		}
		out = append(out, files...)
	}
	return out, nil
}

// downloadAttestations brings what was asked for about a result beside it, and
// takes it out of the result: an exporter would put it into a tree's archive.
func (r *request) downloadAttestations(ctx context.Context, res *gwclient.Result) error {
	for _, platform := range slices.Sorted(maps.Keys(res.Attestations)) {
		dir := ""
		if len(res.Refs) > 0 {
			dir = platformDir("", platform)
		}
		for _, att := range res.Attestations[platform] {
			st, err := att.Ref.StatFile(ctx, gwclient.StatRequest{Path: att.Path})
			if err != nil {
				return err
			}
			a := artifact{name: strings.TrimPrefix(att.Path, "/"), size: st.Size, mode: 0o644}
			file, err := fetchFile(ctx, att.Ref, a, r.flags.outputDir, filepath.Join(dir, path.Base(att.Path)), "")
			if err != nil {
				return err
			}
			r.files = append(r.files, file)
		}
	}
	res.Attestations = nil
	return nil
}

// download brings the files of one platform's result into a directory below the
// output directory, or into that one. A file that is there already with the
// checksum that the assembler has written is left alone.
func (r *request) download(ctx context.Context, ref gwclient.Reference, dir string) ([]outputFile, error) {
	entries, err := listFiles(ctx, ref, "/", nil)
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for _, e := range entries {
		if e.name == checksumsFile {
			data, err := ref.ReadFile(ctx, gwclient.ReadRequest{Filename: "/" + checksumsFile})
			if err != nil {
				return nil, err
			}
			sums = parseChecksums(data)
		}
	}
	// All or none: a file that has no place is found before another gets its own.
	base := r.flags.outputDir
	for _, e := range entries {
		name := filepath.Join(dir, filepath.FromSlash(e.name))
		err := checkParents(base, name)
		if err == nil && !e.mode.IsDir() {
			err = checkPlace(filepath.Join(base, name))
		}
		if err != nil {
			return nil, err
		}
	}
	known := openKnown(r.flags.store)
	defer known.save()
	var out []outputFile
	for _, e := range entries {
		name := filepath.Join(dir, filepath.FromSlash(e.name))
		target := filepath.Join(base, name)
		if e.mode.IsDir() {
			if err := makeBelow(base, name); err != nil {
				return nil, err
			}
			continue
		}
		if sum := sums[e.name]; sum != "" && known.matches(target, e.size, sum) {
			out = append(out, outputFile{Path: target, Size: e.size, SHA256: sum, Unchanged: true})
			continue
		}
		file, err := fetchFile(ctx, ref, e, base, name, sums[e.name])
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", target, err)
		}
		known.remember(target, file.SHA256)
		out = append(out, file)
	}
	return out, nil
}

// artifact is one file of a result, or a directory that is empty.
type artifact struct {
	name string
	size int64
	mode fs.FileMode
}

// listFiles lists the regular files of a result below dir, sorted, and the
// directories in which there is nothing: a repository may need them. Anything
// else than files and directories is an error: an output directory is not the
// place for links and devices.
func listFiles(ctx context.Context, ref gwclient.Reference, dir string, out []artifact) ([]artifact, error) {
	stats, err := ref.ReadDir(ctx, gwclient.ReadDirRequest{Path: dir})
	if err != nil {
		return nil, err
	}
	for _, st := range stats {
		name := path.Join(dir, path.Base(st.Path))
		mode := fs.FileMode(st.Mode)
		switch {
		case mode.IsDir():
			before := len(out)
			if out, err = listFiles(ctx, ref, name, out); err != nil {
				return nil, err
			}
			if len(out) == before {
				out = append(out, artifact{name: strings.TrimPrefix(name, "/"), mode: fs.ModeDir})
			}
		case mode.IsRegular():
			out = append(out, artifact{name: strings.TrimPrefix(name, "/"), size: st.Size, mode: mode.Perm()})
		default:
			return nil, fmt.Errorf("the result holds %s, which is neither a file nor a directory but %s", name, describeMode(st))
		}
		if len(out) > maxArtifacts {
			return nil, fmt.Errorf("the result holds over %d files", maxArtifacts)
		}
	}
	return out, nil
}

func describeMode(st *types.Stat) string { return fs.FileMode(st.Mode).Type().String() }

// fetchFile writes one file of a result below the output directory. It gets its
// name only when it is whole and its checksum is right; holes stay holes.
func fetchFile(ctx context.Context, ref gwclient.Reference, a artifact, base, name, want string) (outputFile, error) {
	f, err := newPartial(base, name)
	if err != nil {
		return outputFile{}, err
	}
	defer f.discard()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// The checksum takes longer than reading or writing, so it is computed
	// beside them.
	sum := newSummer()
	defer sum.finish()
	for p := range pieces(ctx, ref, a) {
		if p.err != nil {
			return outputFile{}, p.err
		}
		sum.add(p.data)
		if _, err := f.Write(p.data); err != nil {
			return outputFile{}, err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return outputFile{}, err
	}
	got := sum.finish()
	if want != "" && got != want {
		return outputFile{}, fmt.Errorf("the SHA-256 of what arrived is %s, the assembler wrote %s", got, want)
	}
	if err := f.commit(a.size, a.mode&0o111 != 0); err != nil {
		return outputFile{}, err
	}
	return outputFile{Path: filepath.Join(base, name), Size: a.size, SHA256: got}, nil
}

// summer computes a SHA-256 in a goroutine of its own.
type summer struct {
	in   chan []byte
	done chan string
}

func newSummer() *summer {
	in, done := make(chan []byte, pieceAhead), make(chan string, 1)
	s := &summer{in: in, done: done}
	go func() {
		h := sha256.New()
		for data := range in {
			h.Write(data)
		}
		done <- hex.EncodeToString(h.Sum(nil))
	}()
	return s
}

// add takes data, which must not be changed afterwards.
func (s *summer) add(data []byte) { s.in <- data }

// finish returns the checksum of all data in hex. It may be called again.
func (s *summer) finish() string {
	if s.in != nil {
		close(s.in)
		s.in = nil
	}
	sum := <-s.done
	s.done <- sum
	return sum
}

// piece is a part of a file, in order.
type piece struct {
	data []byte
	err  error
}

// pieces reads a file ahead of its consumer, several pieces at a time: one
// request alone is slowed by the flow control of its stream. They arrive in
// order. The channel is closed at the end of the file, after an error, or when
// the context ends.
func pieces(ctx context.Context, ref gwclient.Reference, a artifact) <-chan piece {
	asked := make(chan chan piece, pieceAhead)
	go func() {
		defer close(asked)
		for at := int64(0); at < a.size; at += pieceSize {
			answer := make(chan piece, 1)
			select {
			case asked <- answer:
			case <-ctx.Done():
				return
			}
			go func() { answer <- readPiece(ctx, ref, a, at, min(pieceSize, a.size-at)) }()
		}
	}()
	out := make(chan piece)
	go func() {
		defer close(out)
		for answer := range asked {
			p := <-answer
			select {
			case out <- p:
			case <-ctx.Done():
				return
			}
			if p.err != nil {
				return
			}
		}
	}()
	return out
}

// readPiece reads n bytes of a file.
func readPiece(ctx context.Context, ref gwclient.Reference, a artifact, at, n int64) piece {
	data, err := ref.ReadFile(ctx, gwclient.ReadRequest{
		Filename: "/" + a.name,
		Range:    &gwclient.FileRange{Offset: int(at), Length: int(n)},
	})
	if err == nil && int64(len(data)) != n {
		err = io.ErrUnexpectedEOF
	}
	return piece{data, err}
}

// parseChecksums reads the format of sha256sum.
func parseChecksums(data []byte) map[string]string {
	out := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		if ok && len(sum) == sha256.Size*2 {
			out[strings.TrimPrefix(name, "./")] = strings.ToLower(sum)
		}
	}
	return out
}
