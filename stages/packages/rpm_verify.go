package packages

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/osbuildkit/osbuildkit/rpmmd"
)

// signers says who has signed the packages.
type signers struct {
	// keys are those that have signed one.
	keys   *rpmmd.Keys
	signed int
	all    int
}

// String says it for the log.
func (s *signers) String() string {
	if s.signed == s.all {
		return "signed"
	}
	return fmt.Sprintf("%d of them had to be signed and are", s.signed)
}

// verifyPackages makes sure that each file is the one of the list, and signed
// by one of the keys of its repository. All that is wrong is reported, up to a
// few packages.
func verifyPackages(ctx context.Context, dir string, list *rpmmd.PackageList, repos []DnfJobRepository) (*signers, error) {
	keys := make([]*rpmmd.Keys, len(repos))
	for i, r := range repos {
		if r.Keys == "" {
			continue
		}
		var err error
		if keys[i], err = rpmmd.ParseKeys(r.Keys); err != nil {
			return nil, fmt.Errorf("repository %s: %w", r.ID, err)
		}
	}
	work := make(chan int)
	errs := make([]error, len(list.Packages))
	prints := make([]string, len(list.Packages))
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range work {
				p := &list.Packages[i]
				if p.Repository >= len(repos) {
					errs[i] = fmt.Errorf("package %s: there is no repository %d", p.NEVRA(), p.Repository)
					continue
				}
				prints[i], errs[i] = verifyPackage(filepath.Join(dir, p.File), p, keys[p.Repository])
				if errs[i] != nil {
					errs[i] = fmt.Errorf("repository %s: %w", repos[p.Repository].ID, errs[i])
				}
			}
		})
	}
	for i := range list.Packages {
		if ctx.Err() != nil {
			break
		}
		work <- i
	}
	close(work)
	wg.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err := firstErrors(errs, 5); err != nil {
		return nil, err
	}
	return gatherSigners(list, keys, prints)
}

func firstErrors(errs []error, limit int) error {
	var out []error
	more := 0
	for _, err := range errs {
		switch {
		case err == nil:
		case len(out) < limit:
			out = append(out, err)
		default:
			more++
		}
	}
	if more > 0 {
		out = append(out, fmt.Errorf("and %d packages more", more))
	}
	return errors.Join(out...)
}

// gatherSigners returns the keys that have signed, in the order of their
// fingerprints.
func gatherSigners(list *rpmmd.PackageList, keys []*rpmmd.Keys, prints []string) (*signers, error) {
	s := &signers{all: len(list.Packages)}
	signed := map[string]*rpmmd.Keys{}
	for i, p := range list.Packages {
		if prints[i] == "" {
			continue
		}
		s.signed++
		if signed[prints[i]] != nil {
			continue
		}
		key, err := keys[p.Repository].Find(prints[i])
		if err != nil {
			return nil, err
		}
		signed[prints[i]] = key
	}
	var all []*rpmmd.Keys
	for _, name := range slices.Sorted(maps.Keys(signed)) {
		all = append(all, signed[name])
	}
	s.keys = rpmmd.MergeKeys(all...)
	return s, nil
}

// verifyPackage returns the fingerprint of the key that has signed a package,
// if it has to be signed.
func verifyPackage(file string, p *rpmmd.Package, keys *rpmmd.Keys) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	want := p.Checksum()
	sum := want.Hash()
	n, err := io.Copy(sum, io.LimitReader(f, p.Size+1))
	if err != nil {
		return "", err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != p.Size || got != want.Hex {
		return "", fmt.Errorf("package %s: the file is not the one in the list: its checksum is %s:%s, not %s", p.NEVRA(), want.Algorithm, got, want)
	}
	if keys == nil {
		head, err := rpmmd.ReadFile(io.NewSectionReader(f, 0, p.Size))
		if err != nil {
			return "", err
		}
		return "", p.CheckFile(head)
	}
	head, signer, err := rpmmd.VerifyPackage(f, p.Size, keys)
	if err != nil {
		return "", err
	}
	return signer.Fingerprint, p.CheckFile(head)
}
