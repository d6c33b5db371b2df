package main

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/genfiles"
)

func TestCommittedFilesAreUpToDate(t *testing.T) {
	t.Parallel()
	root, err := genfiles.Root()
	if err != nil {
		t.Fatal(err)
	}
	stale, err := files.Stale(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stale {
		t.Errorf("%s does not match the modules; run \"go generate ./...\"", name)
	}
}
