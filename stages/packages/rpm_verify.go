package packages

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/osbuildkit/osbuildkit/rpmmd"
)

// signers says who has signed the packages.
type signers struct {
	// armored are the keys that have signed one.
	armored []string
	signed  int
	all     int
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
	return gatherSigners(list, repos, prints)
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

func gatherSigners(list *rpmmd.PackageList, repos []DnfJobRepository, prints []string) (*signers, error) {
	s := &signers{all: len(list.Packages)}
	seen := map[string]bool{}
	for i, p := range list.Packages {
		if prints[i] == "" {
			continue
		}
		s.signed++
		if seen[prints[i]] {
			continue
		}
		seen[prints[i]] = true
		text, err := keyText(repos[p.Repository].Keys, prints[i])
		if err != nil {
			return nil, err
		}
		s.armored = append(s.armored, text)
	}
	s.armored = sortedUnique(s.armored)
	return s, nil
}

// keyText returns the armored text of the key with a fingerprint, which is one
// of the keys in the text: the very text if that has it by itself, so that it
// reaches rpm's database as its author wrote it.
func keyText(text, fingerprint string) (string, error) {
	const begin, end = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"
	for rest := text; ; {
		_, after, ok := strings.Cut(rest, begin)
		if !ok {
			break
		}
		body, more, ok := strings.Cut(after, end)
		if !ok {
			break
		}
		rest = more
		block := begin + body + end + "\n"
		keys, err := rpmmd.ParseKeys(block)
		if err != nil || keys.Len() != 1 {
			continue
		}
		if _, err := keys.Find(fingerprint); err == nil {
			return block, nil
		}
	}
	all, err := rpmmd.ParseKeys(text)
	if err != nil {
		return "", err
	}
	key, err := all.Find(fingerprint)
	if err != nil {
		return "", err
	}
	armored, err := key.Armor()
	return string(armored), err
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
