package packages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/rpmmd"
)

// BuiltFile is the file in which the part org.osbuild.rpm.inspect says when the
// newest of the packages was built, in seconds.
const BuiltFile = "built"

// inspectRPMs is the part org.osbuild.rpm.inspect: it lists the downloaded
// package files. What they say of themselves is not verified here, so it
// decides nothing but names and the time of the build.
func inspectRPMs(_ context.Context, in *module.Input) error {
	var o RPMOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	dir, err := input(in, "rpms")
	if err != nil {
		return err
	}
	if in.OutputDir == "" {
		return errors.New("the contract names no \"output_dir\"")
	}
	list := &rpmmd.PackageList{Repositories: []rpmmd.Repository{{ID: "sources"}}}
	names := map[string]bool{}
	var newest int64
	for _, p := range o.Packages {
		if names[p.File()] {
			continue
		}
		names[p.File()] = true
		file := filepath.Join(dir, p.File())
		err := checkFetched(file, p.Checksum)
		if err != nil {
			return fmt.Errorf("package %s: %w", p.Checksum, err)
		}
		f, size, sum, err := inspectRPM(file)
		if err != nil {
			return fmt.Errorf("package %s: %w", p.Checksum, err)
		}
		newest = max(newest, f.BuildTime)
		list.Packages = append(list.Packages, rpmmd.Package{
			Name: f.Name, Epoch: f.Epoch, Version: f.Version, Release: f.Release, Arch: f.Arch,
			Location: p.File(), File: p.File(), Size: size, SHA256: sum, Reason: rpmmd.ReasonUser,
		})
	}
	data, err := list.Encode()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(in.OutputDir, BuiltFile), []byte(strconv.FormatInt(newest, 10)), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(in.OutputDir, rpmmd.ListFile), data, 0o644)
}

func inspectRPM(file string) (head *rpmmd.File, size int64, sum string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return nil, 0, "", err
	}
	head, err = rpmmd.ReadFile(io.NewSectionReader(f, 0, size))
	return head, size, hex.EncodeToString(h.Sum(nil)), err
}
