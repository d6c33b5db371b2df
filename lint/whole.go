package lint

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// ownLocale matches the locales that the C library has by itself.
var ownLocale = regexp.MustCompile(`^(C|POSIX|(?i:C\.utf-?8))$`)

func missingLocale(p *pass) {
	for _, at := range p.m.Pipelines {
		s := (&contents{at: at}).stage("org.osbuild.locale")
		if s == nil {
			continue
		}
		var o struct {
			Language string `json:"language"`
		}
		decode(s, &o)
		c := p.contentsOf(at)
		if o.Language == "" || ownLocale.MatchString(o.Language) || !c.debian || c.open || c.more || slices.Contains(c.packages, "locales") || slices.Contains(c.packages, "locales-all") {
			continue
		}
		p.atOption(at, s, []string{"language"}, "nothing makes the locale %s, so programs speak English and some complain: add the package locales to the stage %s", quote(o.Language), aptStage)
	}
}

// checkers are the packages with the programs that check a file system, and
// others that always bring them.
var checkers = map[string][]string{
	"ext2": {"e2fsprogs"}, "ext3": {"e2fsprogs"}, "ext4": {"e2fsprogs"},
	"vfat": {"dosfstools"}, "msdos": {"dosfstools"},
	"xfs": {"xfsprogs"}, "btrfs": {"btrfs-progs"}, "f2fs": {"f2fs-tools"}, "jfs": {"jfsutils"}, "exfat": {"exfatprogs", "exfat-fuse"},
}

// bringers depend on the checkers of many file systems.
var bringers = []string{"udisks2", "gparted", "libguestfs0", "libguestfs-tools", "fai-server", "mkosi", "vmdb2", "rauc", "freedombox"}

// suitesWithout are those whose smallest system has no e2fsprogs: it has been
// required in Debian until 12, and is in Ubuntu.
var suitesWithout = []string{"trixie", "forky", "duke", "stable", "testing", "unstable", "sid"}

func missingFilesystemChecker(p *pass) {
	for _, at := range p.m.Pipelines {
		c := p.contentsOf(at)
		if !c.debian || c.open || c.more || c.variant == "important" {
			continue
		}
		for _, s := range at.Stages {
			if s.Type == "org.osbuild.fstab" {
				p.fstabCheckers(&c, s)
			}
		}
	}
}

// fstabCheckers looks for the checker of each file system that is to be
// checked at boot.
func (p *pass) fstabCheckers(c *contents, s *manifest.Stage) {
	var o struct {
		Filesystems []struct {
			Type   string          `json:"vfs_type"`
			Passno json.RawMessage `json:"passno"`
		} `json:"filesystems"`
	}
	decode(s, &o)
	for i, f := range o.Filesystems {
		packages := checkers[f.Type]
		passno := strings.Trim(string(f.Passno), `"`)
		if packages == nil || passno == "" || passno == "null" || strings.Trim(passno, "0") == "" ||
			packages[0] == "e2fsprogs" && !slices.Contains(suitesWithout, c.suite) {
			continue
		}
		if !slices.ContainsFunc(c.packages, func(n string) bool { return slices.Contains(packages, n) || slices.Contains(bringers, n) }) {
			p.atOption(c.at, s, []string{"filesystems", strconv.Itoa(i), "passno"},
				"the tree has no fsck.%s, so the file system is never checked: add the package %s to the stage %s, or set \"passno\" to 0", f.Type, packages[0], aptStage)
		}
	}
}
