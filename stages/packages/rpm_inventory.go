package packages

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// InventoryFile is the file that the part org.osbuild.rpm.inventory writes.
const InventoryFile = "rpms.txt"

// InventoryFormat is what it has of each package: these fields, each as a shell
// quotes it, one tab between two and the end of a line after the last. So what
// a package says of itself cannot be the beginning of another. A field that a
// package does not have is "(none)", and numbers have no quotes.
const InventoryFormat = `%{NAME:shescape}\t%{EPOCHNUM}\t%{VERSION:shescape}\t%{RELEASE:shescape}\t%{ARCH:shescape}\t%{LICENSE:shescape}\t%{VENDOR:shescape}\t%{URL:shescape}\t%{SOURCERPM:shescape}\t%{SUMMARY:shescape}\n`

// inventoryRPMs asks the build root's rpm what a tree has.
func inventoryRPMs(ctx context.Context, in *module.Input) error {
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
	database := rpmDatabase(t)
	if database == "" {
		return errors.New("the tree has no database of RPM packages")
	}
	rpm, err := root.program("rpm")
	if err != nil {
		return err
	}
	argv := []string{rpm, "--root", in.Tree, "--dbpath", database, "-qa", "--qf", InventoryFormat}
	out, err := run(ctx, in, program{argv: argv, rpm: true, quiet: true})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(in.OutputDir, InventoryFile), out, 0o644)
}
