package stages

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// FixBLSOptions are the options of org.osbuild.fix-bls.
type FixBLSOptions struct {
	// What /boot is on the file system that holds the kernels: /boot where that
	// is the root file system, an empty text where /boot is one of its own.
	Prefix *string `json:"prefix,omitempty" jsonschema:"default=/boot,pattern=^(/[A-Za-z0-9._/-]*)?$"`
	// Whether only paths are changed that have something before /boot. With
	// false, /boot/vmlinuz itself gets the prefix.
	RequireBootPrefix *bool `json:"require_boot_prefix,omitempty" jsonschema:"default=true"`
}

// fixBLSStage puts paths in the entries of boot/loader/entries right that name
// the tree as it lay on the build machine: of each path in which a directory
// boot has something before it, what goes up to the last boot becomes the
// prefix. Differences to osbuild, whose expression takes a whole line for one
// path:
//
//   - Each word of a line is looked at by itself. There, a line with two paths
//     loses all from the first slash to the last /boot.
//   - /boot must be a whole part of the path, before another one. There,
//     root=/dev/disk/by-label/boot becomes root=/boot.
//   - An entry in which nothing changes is not written.
var fixBLSStage = module.Module{
	Name:    "org.osbuild.fix-bls",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "put the paths in boot loader entries right",
	Options: optionsOf[FixBLSOptions],
	Check:   checkOf[FixBLSOptions],
	Run:     runOf(runFixBLS),
}

var (
	blsPrefix = regexp.MustCompile(`^(/[A-Za-z0-9._/-]*)?$`)
	// The groups are what stands before a path, and what comes after /boot.
	blsLongPath = regexp.MustCompile(`([^\s/]*)/\S*/boot(/\S*)`)
	blsAnyPath  = regexp.MustCompile(`([^\s/]*)(?:/\S*)?/boot(/\S*)`)
)

func (o *FixBLSOptions) check() []module.Problem {
	if o.Prefix != nil && !blsPrefix.MatchString(*o.Prefix) {
		return []module.Problem{{
			Pointer: "/prefix",
			Message: quote(*o.Prefix) + " is not the beginning of a path: use an absolute path such as /boot, or an empty text",
		}}
	}
	return nil
}

func runFixBLS(in *module.Input, t *tree.Root, o *FixBLSOptions) error {
	prefix := "/boot"
	if o.Prefix != nil {
		prefix = strings.TrimRight(*o.Prefix, "/")
	}
	from := blsLongPath
	if o.RequireBootPrefix != nil && !*o.RequireBootPrefix {
		from = blsAnyPath
	}
	entries, err := t.ReadDir(blsDir)
	if err != nil && !missing(err) {
		return err
	}
	var files []textFile
	found := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".conf") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if found++; found > maxEntries {
			return fmt.Errorf("/%s has more than %d entries", blsDir, maxEntries)
		}
		name := path.Join(blsDir, e.Name())
		data, err := t.ReadText(name, tree.MaxEntry)
		if err != nil {
			return err
		}
		// The prefix holds no $, which would name a group.
		if text := from.ReplaceAllString(string(data), "${1}"+prefix+"${2}"); text != string(data) {
			files = append(files, textFile{name, text})
		}
	}
	in.Logf("%d of %d boot loader entries are changed", len(files), found)
	for _, f := range files {
		if err := writable(t, f.name); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := writeFile(in, t, f.name, []byte(f.data), 0o644); err != nil {
			return err
		}
	}
	return nil
}
