package content

import (
	"fmt"
	"slices"
	"strings"
)

// Profile names the oldest generation of kernels and boot loaders that must be
// able to read a file system. A kernel or a boot loader refuses a file system
// that has a feature which it does not know. The names are those of the
// Enterprise Linux releases that the generations are known by; other
// distributions of the time have the same programs.
type Profile string

// The profiles, the oldest first.
const (
	// EL7 is for kernels from 3.10 and GRUB 2.02: XFS with checksums and no
	// later feature, ext4 without checksums of metadata.
	EL7 Profile = "el7"
	// EL8 is for kernels from 4.18 and GRUB 2.04: XFS with trees of free inodes,
	// sparse inodes and shared extents.
	EL8 Profile = "el8"
	// EL9 is for kernels from 5.10 and GRUB 2.06: XFS with large time stamps and
	// counters of inode blocks.
	EL9 Profile = "el9"
)

// profiles are all of them, the oldest first.
var profiles = []Profile{EL7, EL8, EL9}

// DefaultProfile is the profile of systems that are not known.
const DefaultProfile = EL9

// Reads reports whether the systems of the profile read what came with
// another one. The empty profile is the default one.
func (p Profile) Reads(feature Profile) bool {
	if p == "" {
		p = DefaultProfile
	}
	return slices.Index(profiles, p) >= slices.Index(profiles, feature)
}

// ParseProfile returns the profile with a name, the default one for "".
func ParseProfile(name string) (Profile, error) {
	if name == "" {
		return DefaultProfile, nil
	}
	if p := Profile(name); slices.Contains(profiles, p) {
		return p, nil
	}
	var names []string
	for _, p := range profiles {
		names = append(names, string(p))
	}
	return "", fmt.Errorf("unknown file system profile %q: use %s", name, strings.Join(names, ", "))
}
