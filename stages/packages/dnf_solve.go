package packages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/internal/expand"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/tree"
)

// solveDnf is the part org.osbuild.dnf.solve: the build root's dnf decides
// which packages are needed. Its output is the list of them, and below "repos"
// the metadata of these packages alone, which is all that the part apply needs
// of the repositories. dnf writes into the tree, so a copy is to be given.
func solveDnf(ctx context.Context, in *module.Input) error {
	var job DnfJob
	if err := in.DecodeOptions(&job); err != nil {
		return err
	}
	repos, err := openRPMRepositories(in, job)
	if err != nil {
		return err
	}
	root, err := openRPMRoot(in.BuildRoot)
	if err != nil {
		return err
	}
	defer root.close()
	t, err := tree.Open(in.Tree)
	if err != nil {
		return err
	}
	defer t.Close()
	work, err := os.MkdirTemp("", "dnf-solve-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	d := &dnfRun{root: root, job: job, installroot: in.Tree, work: work, database: rpmDatabase(t)}
	if err := root.checkDatabase(t, d.database); err != nil {
		return err
	}
	rpm := &rpmRun{root: root, work: work, database: d.database}
	if _, err := rpm.ownDatabase(ctx, in, t, in.Tree); err != nil {
		return err
	}
	for i, r := range repos {
		if err := r.link(d.repository(i)); err != nil {
			return err
		}
	}
	list, err := d.solve(ctx, in, repos)
	if err != nil {
		return errors.Join(explainDnf(err, job, repos), inShort(err))
	}
	if d.database != "" {
		list.Database = d.database
	}
	for i, r := range repos {
		list.Repositories = append(list.Repositories, rpmmd.Repository{ID: job.Repos[i].ID, Revision: r.repomd.Revision, Repomd: r.checksum})
	}
	if in.OutputDir == "" {
		return errors.New("the contract names no \"output_dir\"")
	}
	data, err := list.Encode()
	if err != nil {
		return err
	}
	for i, r := range repos {
		if err := r.reduce(filepath.Join(in.OutputDir, "repos", strconv.Itoa(i)), i, list, job.usesGroups()); err != nil {
			return fmt.Errorf("repository %s: %w", job.Repos[i].ID, err)
		}
	}
	in.Logf("%d packages to download", len(list.Packages))
	return os.WriteFile(filepath.Join(in.OutputDir, rpmmd.ListFile), data, 0o644)
}

// usesGroups says whether dnf has to know groups of packages.
func (j DnfJob) usesGroups() bool {
	return j.Operation == "group" || slices.ContainsFunc(append(slices.Clone(j.Packages), j.Exclude...), func(p string) bool { return strings.HasPrefix(p, "@") })
}

// solve returns what dnf has decided.
func (d *dnfRun) solve(ctx context.Context, in *module.Input, repos []*rpmRepository) (list *rpmmd.PackageList, err error) {
	if d.root.dnf5() {
		list, err = d.solve5(ctx, in, repos)
	} else {
		result := filepath.Join(d.work, "result.json")
		if err := d.run(ctx, in, dnfJobFile{Result: result}); err != nil {
			return nil, err
		}
		list, err = readDecision(result)
	}
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for i := range list.Packages {
		p := &list.Packages[i]
		p.File = p.DefaultFile()
		if names[p.File] {
			// Two repositories have packages that differ in their epoch only.
			p.File = p.Checksum().Hex[:16] + "-" + p.File
		}
		names[p.File] = true
	}
	return list, nil
}

// readDecision reads what dnf_job.py has written; nothing was to be downloaded
// if there is no such file.
func readDecision(file string) (*rpmmd.PackageList, error) {
	list := &rpmmd.PackageList{}
	data, err := expand.ReadFile(file, maxListFile)
	if missing(err) {
		return list, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, list); err != nil {
		return nil, fmt.Errorf("what dnf has decided: %w", err)
	}
	return list, nil
}

// rpmRepository is one repository as the builder lays it out for a part:
// DIR/N/repodata/repomd.xml and the files that it lists.
type rpmRepository struct {
	dir      string
	repomd   *rpmmd.Repomd
	checksum string
	files    []rpmmd.Data
}

func openRPMRepositories(in *module.Input, job DnfJob) ([]*rpmRepository, error) {
	dir, err := input(in, "repos")
	if err != nil {
		return nil, err
	}
	var out []*rpmRepository
	for i, j := range job.Repos {
		r := &rpmRepository{dir: filepath.Join(dir, strconv.Itoa(i))}
		if err := r.read(); err != nil {
			return nil, fmt.Errorf("repository %s: %w", j.ID, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func (r *rpmRepository) read() error {
	f, err := os.Open(filepath.Join(r.dir, "repodata", "repomd.xml"))
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, rpmmd.MaxRepomd+1))
	if err != nil {
		return err
	}
	if r.repomd, err = rpmmd.ParseRepomd(data); err != nil {
		return err
	}
	r.checksum = rpmmd.RepomdChecksum(data)
	if r.files, err = r.repomd.SolveFiles(); err != nil {
		return err
	}
	for i := range r.files {
		d := r.files[i].Local()
		// A server may have sent it without its compression.
		if _, err := os.Lstat(filepath.Join(r.dir, filepath.FromSlash(d.Location))); missing(err) {
			d, _ = d.Opened()
		}
		r.files[i] = d
	}
	return nil
}

// link makes the repository at dir as dnf is to see it: with the files that
// are there, once they are those that repomd.xml lists.
func (r *rpmRepository) link(dir string) error {
	for _, d := range r.files {
		from, to := filepath.Join(r.dir, filepath.FromSlash(d.Location)), filepath.Join(dir, filepath.FromSlash(d.Location))
		if err := checkData(from, d); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(from, to); err != nil {
			return err
		}
	}
	return writeRepomd(dir, r.repomd.WithFiles(r.files))
}

func writeRepomd(dir string, data []byte) error {
	if err := os.MkdirAll(filepath.Join(dir, "repodata"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "repodata", "repomd.xml"), data, 0o644)
}

// checkData reports that a file is not the one that repomd.xml lists.
func checkData(file string, d rpmmd.Data) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return d.CheckFile(f)
}

// reduce writes the repository as it would be if it had the listed packages
// only. So what is installed depends on nothing else that it has.
func (r *rpmRepository) reduce(dir string, number int, list *rpmmd.PackageList, groups bool) error {
	wanted := map[string]*rpmmd.Package{}
	for i := range list.Packages {
		if p := &list.Packages[i]; p.Repository == number {
			wanted[p.Checksum().Hex] = p
		}
	}
	var files []rpmmd.Data
	for _, d := range r.files {
		var content bytes.Buffer
		switch {
		case d.Type == "primary" || d.Type == "filelists":
			if err := r.filter(&content, d, wanted); err != nil {
				return err
			}
			d.Location = "repodata/" + d.Type + ".xml"
		case strings.HasPrefix(d.Type, "group") && !groups:
			continue
		default:
			if err := copyData(&content, filepath.Join(r.dir, filepath.FromSlash(d.Location))); err != nil {
				return err
			}
			d.Location = "repodata/" + filepath.Base(d.Location)
		}
		sum := sha256.Sum256(content.Bytes())
		reduced := rpmmd.Data{
			Type: d.Type, Location: d.Location, Size: int64(content.Len()),
			Checksum: rpmmd.Checksum{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])},
		}
		to := filepath.Join(dir, filepath.FromSlash(d.Location))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, content.Bytes(), 0o644); err != nil {
			return err
		}
		files = append(files, reduced)
	}
	return writeRepomd(dir, (&rpmmd.Repomd{}).WithFiles(files))
}

// filter copies of a metadata file what is about the wanted packages, each once:
// a repository may list one file at two places. The copy says that they lie
// where the part apply puts them, which is elsewhere for those that lie outside
// of the repository.
func (r *rpmRepository) filter(w *bytes.Buffer, d rpmmd.Data, wanted map[string]*rpmmd.Package) error {
	content, err := r.open(d)
	if err != nil {
		return err
	}
	defer content.Close()
	seen := map[string]bool{}
	err = rpmmd.FilterPackages(w, content, func(sum string) (place string, ok bool) {
		p := wanted[sum]
		if p == nil || seen[sum] {
			return "", false
		}
		seen[sum] = true
		return p.Place(), true
	})
	if err != nil {
		return fmt.Errorf("%s: %w", d.Location, err)
	}
	if d.Type != "primary" {
		return nil
	}
	// dnf installs what lies where this says.
	return rpmmd.ReadPrimary(bytes.NewReader(w.Bytes()), func(p *rpmmd.PrimaryPackage) error {
		if want := wanted[p.Checksum().Hex]; want == nil || p.Base != "" || p.Location != want.Place() {
			return fmt.Errorf("%s: %.200q is not where package %.200q of the decision lies", d.Location, p.Location, p.Name)
		}
		return nil
	})
}

func copyData(w io.Writer, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// dataFile is the content of a metadata file, and the file.
type dataFile struct {
	io.ReadCloser
	file *os.File
}

// Close closes both.
func (d *dataFile) Close() error { return errors.Join(d.ReadCloser.Close(), d.file.Close()) }

// open returns the content of a metadata file.
func (r *rpmRepository) open(d rpmmd.Data) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(r.dir, filepath.FromSlash(d.Location)))
	if err != nil {
		return nil, err
	}
	content, err := d.Open(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &dataFile{content, f}, nil
}

// unknownToDnf are dnf's words about what it does not know.
var unknownToDnf = []string{"No match for argument", "Unable to find a match", "does not exist", "is not available"}

// explainDnf returns the nearest names where dnf has failed over a package or
// group that it does not know, and nil for other failures.
func explainDnf(err error, job DnfJob, repos []*rpmRepository) error {
	var failed *command.Error
	if !errors.As(err, &failed) || !slices.ContainsFunc(unknownToDnf, func(s string) bool { return strings.Contains(failed.Output, s) }) {
		return nil
	}
	names := rpmmd.NewNames()
	for _, r := range repos {
		for _, d := range r.files {
			read := names.ReadPrimary
			switch {
			case strings.HasPrefix(d.Type, "group"):
				read = names.ReadGroups
			case d.Type != "primary":
				continue
			}
			content, openErr := r.open(d)
			if openErr != nil {
				return nil
			}
			readErr := read(content)
			if errors.Join(readErr, content.Close()) != nil {
				return nil
			}
		}
	}
	var hints []error
	for _, p := range job.Packages {
		// Others are capabilities, files, modules and patterns.
		if validSpecName.MatchString(p) && !names.Has(p) {
			hints = append(hints, names.NotFound(p))
		}
	}
	return errors.Join(hints...)
}
