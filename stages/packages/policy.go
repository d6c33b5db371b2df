package packages

import (
	"errors"
	"io/fs"

	"github.com/osbuildkit/osbuildkit/tree"
)

// policyFile is the program that maintainer scripts ask whether they may
// start a service (deb-systemd-invoke(1), invoke-rc.d(8)).
const (
	policyFile   = "usr/sbin/policy-rc.d"
	policyBackup = "usr/sbin/policy-rc.d.osbuildkit-kept"
)

// forbidServices makes the tree refuse to start services, and returns what
// undoes that. A policy that the tree has itself is put aside.
func forbidServices(t *tree.Root) (undo func() error, err error) {
	kept := true
	if err := t.Rename(policyFile, policyBackup); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		kept = false
	}
	undo = func() error {
		if kept {
			return t.Rename(policyBackup, policyFile)
		}
		return t.Remove(policyFile)
	}
	if err := t.MkdirAll("usr/sbin", 0o755); err != nil {
		return nil, err
	}
	// 101 is "action forbidden by policy".
	if err := t.ReplaceFile(policyFile, []byte("#!/bin/sh\nexit 101\n"), 0o755, 0, 0); err != nil {
		return nil, errors.Join(err, undo())
	}
	return undo, nil
}
