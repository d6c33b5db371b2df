package rpmdistro

import (
	"fmt"
	"slices"
	"strings"
)

// macros make rpmbuild pack files as they are, and the same bytes each time.
const macros = `%global debug_package %{nil}
%global __os_install_post %{nil}
%global __check_files %{nil}
%global __spec_install_pre %{___build_pre}
%global _build_id_links none
%global _binary_payload w3.zstdio
%global _buildhost build.example.org
%global use_source_date_epoch_as_buildtime 1
%global clamp_mtime_to_source_date_epoch 1
%global __brp_check_rpaths %{nil}
`

// spec writes the spec of all packages. Install is what %install does.
func spec(name string, packages []*Package, install string) string {
	var b strings.Builder
	b.WriteString(macros)
	fmt.Fprintf(&b, "Name: %s\nVersion: 1\nRelease: 1\nSummary: What the packages are made from\nLicense: Various\n\n%%description\n%%{summary}.\n\n", name)
	for _, p := range packages {
		p.preamble(&b)
	}
	fmt.Fprintf(&b, "%%prep\n%%build\n%%install\n%s\n", install)
	for _, p := range packages {
		for _, s := range p.Sections {
			b.WriteString(strings.ReplaceAll(s, "%N", "-n "+p.Name) + "\n")
		}
	}
	for _, p := range packages {
		fmt.Fprintf(&b, "%%files -n %s\n", p.Name)
		for _, f := range p.Files {
			b.WriteString(f.line())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (p *Package) preamble(b *strings.Builder) {
	fmt.Fprintf(b, "%%package -n %s\nSummary: %s\nAutoReqProv: no\nVersion: %s\nRelease: %s\n", p.Name, p.Summary, p.Version, p.Release)
	if p.Epoch != "" {
		fmt.Fprintf(b, "Epoch: %s\n", p.Epoch)
	}
	if p.NoArch {
		b.WriteString("BuildArch: noarch\n")
	}
	for _, t := range p.Tags {
		b.WriteString(t + "\n")
	}
	fmt.Fprintf(b, "%%description -n %s\n%%{summary}.\n\n", p.Name)
}

// line returns the file's line of the spec.
func (f *File) line() string {
	directive := f.Directive
	if f.Dir && directive == "" {
		directive = "%dir"
	}
	if directive != "" {
		directive += " "
	}
	return fmt.Sprintf("%s%%attr(%s, %s, %s) \"%s\"\n", directive, f.Mode, f.User, f.Group, f.Path)
}

// distribute gives the files that no package has to setup, filesystem and the
// packages that they belong to, and adds what is there on purpose.
func distribute(s *system, packages []*Package, unowned []File, more []*Package) ([]*Package, error) {
	setup := &Package{Name: "setup", Version: "1", Release: "1", Summary: "Accounts and hosts", NoArch: true}
	filesystem := &Package{Name: "filesystem", Version: "1", Release: "1", Summary: "Directories, and what belongs to no other package", Tags: []string{"Requires(pre): setup"}}
	homes := map[string]*Package{}
	kernel := ""
	for _, p := range packages {
		homes[p.Name] = p
		if v, ok := strings.CutPrefix(p.Source, "linux-image-"); ok && p.Name == "kernel-core" {
			kernel = v
		}
		p.Tags = append(p.Tags, "Requires(pre): filesystem")
	}
	if kernel == "" {
		return nil, fmt.Errorf("the tree has no kernel")
	}
	for _, f := range unowned {
		home := filesystem
		if directive, ok := setupFiles[f.Path]; ok {
			// The first package finds no names of groups yet.
			home, f.Directive, f.Group = setup, directive, "root"
		}
		for _, h := range unownedHomes {
			if (f.Path == h[0] || strings.HasPrefix(f.Path, h[0]+"/")) && homes[h[1]] != nil {
				home = homes[h[1]]
			}
		}
		home.Files = append(home.Files, f)
	}
	made := slices.Concat(special(), plain(), bad(), next(), more)
	for _, p := range made {
		if p.Version == "" {
			p.Version, p.Release = "1", "1"
		}
		p.Tags = append(p.Tags, "Requires(pre): filesystem")
	}
	all := slices.Concat([]*Package{setup, filesystem}, packages, made)
	for _, p := range all {
		if err := p.complete(s, additions(kernel)[p.Name]); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(all, func(p *Package) bool { return p.Name == contested }), nil
}

// complete adds what is there on purpose.
func (p *Package) complete(s *system, a addition) error {
	p.Tags = append(p.Tags, a.tags...)
	p.Sections = append(p.Sections, a.sections...)
	p.Files = append(p.Files, a.files...)
	for name := range additionalFiles[p.Name] {
		if p.Name == contested {
			break
		}
		f, ok, err := s.file(name)
		if err != nil || !ok {
			return fmt.Errorf("%s of package %s: %w", name, p.Name, err)
		}
		f.Directive = setupFiles[name]
		p.Files = append(p.Files, f)
	}
	for i := range p.Files {
		if d, ok := a.directives[p.Files[i].Path]; ok {
			p.Files[i].Directive = d
			delete(a.directives, p.Files[i].Path)
		}
	}
	for name := range a.directives {
		return fmt.Errorf("package %s has no file %s", p.Name, name)
	}
	slices.SortFunc(p.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

// smallSpec is the spec of one package of text files, whose names or files are
// those of another package, so that they cannot come from one spec.
func smallSpec(name, version string, tags []string, files map[string]string) string {
	var install, list strings.Builder
	for file, text := range files {
		fmt.Fprintf(&install, "mkdir -p $(dirname %%{buildroot}%s)\nprintf '%%s' '%s' > %%{buildroot}%s\n", file, text, file)
		fmt.Fprintf(&list, "%%attr(0644, root, root) \"%s\"\n", file)
	}
	return macros + fmt.Sprintf("Name: %s\nVersion: %s\nRelease: 1\nSummary: A small package\nLicense: Various\nBuildArch: noarch\nAutoReqProv: no\nRequires(pre): filesystem\n%s\n%%description\n%%{summary}.\n%%prep\n%%build\n%%install\n%s\n%%files\n%s",
		name, version, strings.Join(tags, "\n"), install.String(), list.String())
}

func smallSpecs() []string {
	return []string{
		smallSpec(contested, "1", nil, additionalFiles[contested]),
		// Two streams of a module; the newer version is in the stream that is
		// not the default.
		smallSpec("example-tool", "1.0", []string{"ModularityLabel: example:1:20260101000000:abcdef01"}, map[string]string{"/usr/share/example/tool": "one\n"}),
		smallSpec("example-tool", "2.0", []string{"ModularityLabel: example:2:20260101000000:abcdef02"}, map[string]string{"/usr/share/example/tool": "two\n"}),
	}
}
