package debian

import (
	"path"
	"strings"
)

// IsFlat reports whether the suite of a repository is none, but the directory of
// a repository without suites: as for apt, a slash at the end says so.
func IsFlat(suite string) bool { return strings.HasSuffix(suite, "/") }

// ReleaseDir returns the directory, relative to a mirror, that has the release
// file of a suite, or of a repository without suites; it is "." for the mirror
// itself.
func ReleaseDir(suite string) string {
	if IsFlat(suite) {
		return path.Clean(strings.TrimLeft(suite, "/"))
	}
	return path.Join("dists", suite)
}

// CleanPath takes what means nothing off the path of a package: a repository
// without suites names its packages "./NAME", as the program that makes the
// index found them.
func CleanPath(name string) string {
	if clean := path.Clean(name); strings.HasPrefix(name, "./") && !strings.HasPrefix(clean, "../") {
		return clean
	}
	return name
}

// Indexes returns the Packages files of a repository: those of components and an
// architecture (see PackagesIndexes), or the only one of a repository without
// suites.
func (r *Release) Indexes(suite string, components []string, arch string) ([]IndexFile, error) {
	if !IsFlat(suite) {
		return r.PackagesIndexes(components, arch)
	}
	f, ok := r.packagesIndex("")
	if !ok {
		return nil, errNoIndex
	}
	return []IndexFile{f}, nil
}

// compressions are the endings of index files, the preferred one first.
var compressions = []string{".xz", ".gz", ".zst", ".bz2", ""}

// packagesIndex finds the index of packages in a directory of the release.
func (r *Release) packagesIndex(dir string) (IndexFile, bool) {
	for _, ending := range compressions {
		name := path.Join(dir, "Packages"+ending)
		f, ok := r.files[name]
		if !ok || !validPath(name) {
			continue
		}
		if r.AcquireByHash {
			f.ByHashPath = path.Join(dir, "by-hash/SHA256", f.SHA256)
		}
		return f, true
	}
	return IndexFile{}, false
}
