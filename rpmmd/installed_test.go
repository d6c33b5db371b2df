package rpmmd

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadInstalled(t *testing.T) {
	t.Parallel()
	data := testdata(t, "rpmdb.sqlite")
	got, err := ReadInstalled(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	epoch := uint64(1)
	want := []Installed{{
		Name: "hello", Version: "2.10", Release: "3~rc1", Arch: "noarch", Epoch: &epoch, Vendor: "Example", License: "MIT",
		Summary: "A file that says hello", URL: "https://example.org/hello", SourceRPM: "hello-2.10-3~rc1.src.rpm",
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := ReadInstalled(bytes.NewReader(data[:1024]), 1024); err == nil {
		t.Error("half a database is read")
	}
}

func FuzzInstalled(f *testing.F) {
	data := testdata(f, "rpmdb.sqlite")
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = ReadInstalled(bytes.NewReader(data), int64(len(data)))
		_, _ = installed(data)
	})
}
