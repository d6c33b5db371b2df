package main

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/genfiles"
)

func TestCommittedPagesAreUpToDate(t *testing.T) {
	t.Parallel()
	root, err := genfiles.Root()
	if err != nil {
		t.Fatal(err)
	}
	stale, err := pages.Stale(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stale {
		t.Errorf("%s does not match the commands; run \"go generate ./...\"", name)
	}
}
