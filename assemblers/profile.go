package assemblers

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/internal/osrelease"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// generation says which profile the releases of a distribution need. Their
// kernels and boot loaders do not read what a later profile has.
type generation struct {
	// ids are what os-release has as ID, or among the words of ID_LIKE.
	ids []string
	// el7 and el8 are the first major versions that no longer need that profile.
	el7, el8 int
}

// generations are the distributions with releases that need an older profile. A
// release counts for the GRUB that it came with, where that is older than its
// kernel: 2.04 was the first to read sparse inodes of XFS, 2.06 the first with
// large time stamps; Enterprise Linux 8 brought the first of the two back.
var generations = []generation{
	{ids: []string{"rhel", "centos", "ol"}, el7: 8, el8: 9},
	{ids: []string{"fedora"}, el7: 28, el8: 34},
	{ids: []string{"debian", "raspbian"}, el7: 11, el8: 11},
	{ids: []string{"ubuntu"}, el7: 20, el8: 22},
	{ids: []string{"amzn"}, el7: 2023, el8: 2023},
	{ids: []string{"sles", "sled", "opensuse-leap", "suse"}, el7: 15, el8: 16},
}

// profileOf returns the profile for a system by its os-release. The first of its
// names that is known decides; a system that is not known, or says no version,
// gets the default.
func profileOf(osRelease string) content.Profile {
	id, _ := osReleaseValue(osRelease, "ID")
	version, _ := osReleaseValue(osRelease, "VERSION_ID")
	version, _, _ = strings.Cut(version, ".")
	major, err := strconv.Atoi(version)
	if err != nil {
		return content.DefaultProfile
	}
	names := []string{id}
	// The versions of what is merely like another are not the other's, but those
	// of the rebuilds of Enterprise Linux.
	if slices.Contains(strings.Fields(osrelease.Parse(osRelease)["ID_LIKE"]), "rhel") {
		names = append(names, "rhel")
	}
	for _, name := range names {
		for _, g := range generations {
			switch {
			case !slices.Contains(g.ids, name):
			case major < g.el7:
				return content.EL7
			case major < g.el8:
				return content.EL8
			default:
				return content.DefaultProfile
			}
		}
	}
	return content.DefaultProfile
}

// findProfile returns the profile that an option names, else that of the tree.
// A profile that the tree asked for is logged.
func findProfile(in *module.Input, option string) (content.Profile, error) {
	if option != "" {
		return content.ParseProfile(option)
	}
	t, err := tree.Open(in.Tree)
	if err != nil {
		return "", err
	}
	text, err := osRelease(t)
	if err := errors.Join(err, t.Close()); err != nil {
		return "", err
	}
	p := profileOf(text)
	if p != content.DefaultProfile {
		in.Logf("file systems: profile %s, as etc/os-release says which kernel and boot loader have to read them", p)
	}
	return p, nil
}
