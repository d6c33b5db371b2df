package debian

// MergeLists returns one list of the packages that were installed by several
// stages, one after the other: of two versions of a package the later one
// stays, as it has replaced the other.
func MergeLists(lists []PackageList) *PackageList {
	out := &PackageList{}
	type key struct{ name, arch string }
	at := map[key]int{}
	for _, l := range lists {
		offset := len(out.Repositories)
		out.Repositories = append(out.Repositories, l.Repositories...)
		for _, p := range l.Packages {
			p.Repository += offset
			k := key{p.Name, p.Architecture}
			if i, ok := at[k]; ok {
				out.Packages[i] = p
				continue
			}
			at[k] = len(out.Packages)
			out.Packages = append(out.Packages, p)
		}
	}
	out.Sort()
	return out
}
