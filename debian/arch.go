package debian

import "time"

// Architecture returns Debian's name for an architecture in the terms of Go
// and OCI images, such as "amd64" or "arm" with variant "v7".
func Architecture(goarch, variant string) string {
	switch goarch {
	case "386":
		return "i386"
	case "arm":
		if variant == "v5" || variant == "v6" {
			return "armel"
		}
		return "armhf"
	case "ppc64le":
		return "ppc64el"
	case "mips64le":
		return "mips64el"
	}
	return goarch
}

// SnapshotArchive returns the address at which the distribution keeps the
// state that one of its archives, such as "debian" or "debian-security", had
// at a time. For a time without a state of its own the archive answers with
// the last one before it.
func SnapshotArchive(archive string, at time.Time) string {
	return "https://snapshot.debian.org/archive/" + archive + "/" + FormatSnapshot(at)
}
