package cli

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/image"
	"github.com/osbuildkit/osbuildkit/disk/inspect"
	"github.com/osbuildkit/osbuildkit/engine"
	"github.com/osbuildkit/osbuildkit/internal/private"
)

// buildAgain builds once more, with the steps of the given pipelines run again,
// and compares what comes out with the files of the first build.
func (r *request) buildAgain(ctx context.Context, e *engine.Engine) error {
	a := r.app
	work, err := os.MkdirTemp(filepath.Join(r.flags.store, private.Temporary), "again-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	dir, trees := filepath.Join(work, "output"), filepath.Join(work, "trees")
	f := *r.flags
	f.outputDir, f.noCache = dir, r.flags.reproducible
	f.cacheTo = nil
	fmt.Fprintln(a.stderr, "osbuildkit: building again without the cache, to compare")
	again := &request{app: a, flags: &f, src: r.src, trees: trees}
	if err := again.run(ctx, e); err != nil {
		return err
	}
	differences, err := compareOutputs(ctx, r.flags.outputDir, r.files, dir, again.files)
	if err != nil {
		return err
	}
	what, err := r.compareTrees(trees)
	if err != nil {
		return fmt.Errorf("comparing the stored trees: %w", err)
	}
	if what != "" {
		differences = append(differences, "the stored tree: "+what)
	}
	if len(differences) > 0 {
		return &exitError{code: exitFailed, err: fmt.Errorf("not reproducible: a second build gives other bytes\n  %s", strings.Join(differences, "\n  "))}
	}
	fmt.Fprintf(a.stderr, "osbuildkit: reproducible: %d files are the same bytes in both builds\n", len(r.files))
	return nil
}

// compareOutputs says in what the files of two builds differ. A list of
// checksums, which follows from the others, is looked at only where nothing else
// differs.
func compareOutputs(ctx context.Context, dirA string, a []outputFile, dirB string, b []outputFile) ([]string, error) {
	sums := map[string]outputFile{}
	for _, f := range b {
		name, err := filepath.Rel(dirB, f.Path)
		if err != nil {
			return nil, err
		}
		sums[name] = f
	}
	var out, lists []string
	for _, f := range a {
		name, err := filepath.Rel(dirA, f.Path)
		if err != nil {
			return nil, err
		}
		g, ok := sums[name]
		delete(sums, name)
		switch {
		case !ok:
			out = append(out, name+": the second build did not make it")
		case f.SHA256 == g.SHA256:
		case filepath.Base(name) == checksumsFile:
			lists = append(lists, name+": the checksums differ")
		default:
			what, err := firstDifference(ctx, f.Path, g.Path)
			if err != nil {
				return nil, fmt.Errorf("comparing %s: %w", name, err)
			}
			out = append(out, name+": "+what)
		}
	}
	for name := range sums {
		out = append(out, name+": only the second build made it")
	}
	if len(out) == 0 {
		out = lists
	}
	return out, nil
}

// firstDifference says in what two files differ: the file in them, if they are
// images or archives.
func firstDifference(ctx context.Context, a, b string) (string, error) {
	ia, errA := image.Open(ctx, a)
	if errA == nil {
		defer ia.Close()
	}
	ib, errB := image.Open(ctx, b)
	if errB == nil {
		defer ib.Close()
	}
	if errA == nil && errB == nil {
		what, err := inspect.Compare(ctx, ia, ib)
		if what != "" || err != nil {
			return what, err
		}
		at, err := compareFiles(a, b, inspect.CompareReaders)
		return fmt.Sprintf("the disks are the same, but the files that hold them differ from byte %d on", at), err
	}
	if strings.HasSuffix(a, ".tar") {
		what, err := compareImageArchives(a, b)
		if what != "" || err != nil {
			return what, err
		}
		_, err = compareFiles(a, b, func(a, b io.Reader) (int64, error) {
			var err error
			what, err = compareArchives(tar.NewReader(a), tar.NewReader(b))
			return 0, err
		})
		if what != "" || err != nil {
			return what, err
		}
	}
	at, err := compareFiles(a, b, inspect.CompareReaders)
	return fmt.Sprintf("the files differ from byte %d on", at), err
}

// compareImageArchives compares archives that are container images.
func compareImageArchives(a, b string) (string, error) {
	ia, err := archiveImage(a)
	if ia == nil || err != nil {
		return "", err
	}
	ib, err := archiveImage(b)
	if ib == nil || err != nil {
		return "", err
	}
	return compareImages(*ia, *ib, "")
}

// compareTrees compares the tree that was kept in the store, if there is one,
// with that which the second build has kept elsewhere.
func (r *request) compareTrees(second string) (string, error) {
	if len(r.flags.checkpoints) == 0 {
		return "", nil
	}
	id := r.manifest().TreeID()
	for _, p := range r.platforms {
		what, err := compareImages(directoryImage(treesDir(r.flags.store)), directoryImage(second), treeTag(id, p))
		if what != "" || err != nil {
			return what, err
		}
	}
	return "", nil
}

func compareFiles(a, b string, compare func(a, b io.Reader) (int64, error)) (int64, error) {
	fa, err := os.Open(a)
	if err != nil {
		return 0, err
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		return 0, err
	}
	defer fb.Close()
	return compare(fa, fb)
}

// compareArchives names the first entry in which two archives differ; it returns
// the empty string where their entries are the same.
func compareArchives(a, b *tar.Reader) (string, error) {
	for {
		ha, errA := a.Next()
		hb, errB := b.Next()
		endA, endB := errors.Is(errA, io.EOF), errors.Is(errB, io.EOF)
		switch {
		case endA && endB:
			return "", nil
		case errA != nil && !endA:
			return "", errA
		case errB != nil && !endB:
			return "", errB
		case endA:
			return fmt.Sprintf("%q is in the second only", hb.Name), nil
		case endB:
			return fmt.Sprintf("%q is in the first only", ha.Name), nil
		case ha.Name != hb.Name:
			return fmt.Sprintf("the names differ: %q and %q", ha.Name, hb.Name), nil
		case !reflect.DeepEqual(ha, hb):
			return fmt.Sprintf("the file %q: what the archive says about it differs (mode %o and %o, owner %d:%d and %d:%d, size %d and %d, time %s and %s)",
				ha.Name, ha.Mode, hb.Mode, ha.Uid, ha.Gid, hb.Uid, hb.Gid, ha.Size, hb.Size, ha.ModTime.UTC(), hb.ModTime.UTC()), nil
		}
		at, err := inspect.CompareReaders(a, b)
		if err != nil {
			return "", err
		}
		if at >= 0 {
			return fmt.Sprintf("the file %q: its content differs from byte %d on", ha.Name, at), nil
		}
	}
}
