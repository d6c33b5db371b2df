package debian

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The archives of Debian, as mirrors and the snapshot archive name them.
const (
	mainArchive     = "debian"
	securityArchive = "debian-security"
)

// generalHost is Debian's own mirror, which is always the newest state.
const generalHost = "http://ftp.debian.org/"

// archiveOf names the archive that has a suite. Security suites are an archive
// of their own.
func archiveOf(suite string) string {
	if IsSecurity(suite) {
		return securityArchive
	}
	return mainArchive
}

// IsSecurity reports whether a suite is by its name one of security updates:
// "trixie-security", or "buster/updates" as Debian had it up to version 10.
func IsSecurity(suite string) bool {
	return strings.HasSuffix(suite, "-security") || strings.HasSuffix(suite, "/updates") && !strings.Contains(suite, "-")
}

// releaseOf returns the suite to which one of security updates belongs; another
// suite is its own.
func releaseOf(suite string) string {
	return strings.TrimSuffix(strings.TrimSuffix(suite, "-security"), "/updates")
}

// DefaultMirrors returns where a suite of Debian is asked for where nothing else
// is known: at Debian's general mirror, and then in the snapshot archive as it is
// on the day of the build.
func DefaultMirrors(suite string, now time.Time) []string {
	archive := archiveOf(suite)
	return []string{generalHost + archive, SnapshotArchive(archive, now.UTC().Truncate(24*time.Hour))}
}

// SnapshotMirror returns the address of the snapshot archive that has the state
// of a suite at a time.
func SnapshotMirror(suite string, at time.Time) string { return SnapshotArchive(archiveOf(suite), at) }

// MirrorsOf returns where a mirror may have a suite. Mirrors of Debian keep
// security suites in a directory beside that of the others; a copy that is
// somebody's own may have all suites in one.
func MirrorsOf(mirror, suite string) []string {
	if !IsSecurity(suite) {
		return []string{mirror}
	}
	if beside, ok := securityBeside(mirror); ok {
		return []string{beside, mirror}
	}
	return []string{mirror}
}

// securityBeside replaces the last directory "debian" of an address.
func securityBeside(mirror string) (string, bool) {
	u, err := url.Parse(mirror)
	if err != nil {
		return "", false
	}
	parts := strings.Split(u.Path, "/")
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i] == mainArchive {
			parts[i] = securityArchive
			u.Path, u.RawPath = strings.Join(parts, "/"), ""
			return u.String(), true
		}
	}
	return "", false
}

// snapshotForm is how snapshot archives write times.
const snapshotForm = "20060102T150405Z"

// ParseSnapshot reads a time as snapshot archives write it, "20261121T000000Z".
func ParseSnapshot(text string) (time.Time, error) {
	at, err := time.Parse(snapshotForm, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time such as \"20261121T000000Z\"", text)
	}
	return at, nil
}

// CheckSnapshotTime reports whether an archive has all of its state at a time.
func CheckSnapshotTime(at, now time.Time) error {
	if at.After(now.Add(maxFuture)) {
		return fmt.Errorf("the snapshot %s is of a time that is to come; give one that is over", FormatSnapshot(at))
	}
	return nil
}

// FormatSnapshot writes a time as snapshot archives do.
func FormatSnapshot(at time.Time) string { return at.UTC().Format(snapshotForm) }

// AtSnapshot returns the address at which an archive of snapshots has a time.
func AtSnapshot(archive string, at time.Time) string {
	return strings.TrimSuffix(archive, "/") + "/" + FormatSnapshot(at)
}

// SnapshotTime returns the time that the address of a snapshot names.
func SnapshotTime(address string) (time.Time, bool) {
	u, err := url.Parse(address)
	if err != nil {
		return time.Time{}, false
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		if at, err := ParseSnapshot(part); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// KnownCompanions returns the suites that belong to one of Debian's, as far as its
// name tells: see Release.Companions.
func KnownCompanions(asked string) []string {
	if !debianSuites[asked] || rolling[asked] {
		return nil
	}
	return companions(asked, asked == "buster")
}

// rolling are the suites that are never released, and so need no updates.
var rolling = map[string]bool{"unstable": true, "sid": true, "experimental": true, "rc-buggy": true}

// Companions returns the suites that a system installs from besides the one that
// was asked for, whose release file this is: the updates and the security suite of
// one of Debian's or Ubuntu's that has been or is to be released. The first ones
// that Debian released had another name for security updates.
func (r *Release) Companions(asked string) []string {
	// A suite with a slash or minus is itself one that belongs to another.
	if strings.ContainsAny(asked, "/-") || rolling[r.Suite] || rolling[asked] {
		return nil
	}
	switch {
	case r.Origin == "Debian" && r.Label == "Debian":
		major, _, _ := strings.Cut(r.Version, ".")
		n, err := strconv.Atoi(major)
		return companions(asked, err == nil && n < 11)
	case r.Origin == "Ubuntu":
		return companions(asked, false)
	}
	return nil
}

func companions(suite string, old bool) []string {
	if old {
		return []string{suite + "-updates", suite + "/updates"}
	}
	return []string{suite + "-updates", suite + "-security"}
}
