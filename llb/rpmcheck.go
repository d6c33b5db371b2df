package llb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/internal/redact"
	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// checkFiles runs the step that compares the files of a state with checksums of
// other kinds than BuildKit knows. It returns what was found, in the same order.
func (g *Graph) checkFiles(ctx context.Context, at place, st llb.State, files []packages.CheckFile) ([]packages.Checked, error) {
	m, err := g.part(packages.CheckPart)
	if err != nil {
		return nil, err
	}
	options, err := encodeOptions(packages.CheckOptions{Files: files})
	if err != nil {
		return nil, err
	}
	none := Tree{Root: llb.Scratch(), Ledger: llb.Scratch(), Epoch: DefaultEpoch}
	out, err := g.run(ctx, at, none, step{module: m, part: "check what was downloaded", options: options, readonly: true, output: true, inputs: map[string]llb.State{"files": st}})
	if err != nil {
		return nil, err
	}
	data, err := g.opt.Resolver.ReadFile(ctx, out.output, "/"+packages.CheckedFile)
	if err != nil {
		return nil, err
	}
	var found []packages.Checked
	if err := json.Unmarshal(data, &found); err != nil {
		return nil, fmt.Errorf("the check of what was downloaded: %w", err)
	}
	if len(found) != len(files) {
		return nil, errors.New("the check of what was downloaded does not tell of all files")
	}
	return found, nil
}

// checkPackages makes sure that packages without a SHA-256 in the list, which are
// in st, are those that the repository lists, and puts it into the list. It
// reports whether some have to be asked of other mirrors.
func (g *Graph) checkPackages(ctx context.Context, at place, files []*rpmDownload, downloads []download, st llb.State, list *rpmmd.PackageList) (again bool, err error) {
	var check []packages.CheckFile
	var numbers []int
	for i, f := range files {
		if f.SHA256 == "" {
			check = append(check, packages.CheckFile{Name: f.File, Checksum: f.Sum, Size: f.Size})
			numbers = append(numbers, i)
		}
	}
	if len(check) == 0 {
		return false, nil
	}
	found, err := g.checkFiles(ctx, at, st, check)
	if err != nil {
		return false, err
	}
	var lost []error
	for n, i := range numbers {
		if found[n].Problem == "" {
			list.Packages[i].SHA256 = found[n].SHA256
			continue
		}
		f := files[i]
		f.attempt++
		if !f.fail(fmt.Errorf("%s: %s", redact.URL(downloads[i].url), found[n].Problem)) {
			lost = append(lost, f.lost())
		}
		again = true
	}
	if len(lost) > 0 {
		return false, lostPackages(lost)
	}
	return again, list.Check()
}
