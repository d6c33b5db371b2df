package rpmmd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/osbuildkit/osbuildkit/internal/sqlite"
)

// Databases are the paths in a tree at which rpm's database may be, in the
// order in which they are looked for: rpm has put it into SQLite since 4.16.
var Databases = []string{"/usr/lib/sysimage/rpm/rpmdb.sqlite", "/var/lib/rpm/rpmdb.sqlite"}

// OldDatabases are those of other formats, which are not read.
var OldDatabases = []string{
	"/usr/lib/sysimage/rpm/Packages.db", "/var/lib/rpm/Packages.db", // NDB
	"/var/lib/rpm/Packages", // Berkeley DB
}

// Installed is a package in the database of a tree.
type Installed struct {
	Name, Version, Release, Arch string
	// Epoch is nil if the package has none, which is less than 0.
	Epoch *uint64
	// Vendor, License, Summary, URL and SourceRPM are as the package says;
	// each may be empty.
	Vendor, License, Summary, URL, SourceRPM string
}

// Tags that only the database is asked for.
const (
	tagSummary = 1004
	tagURL     = 1020
)

// keyPackage is the name under which rpm keeps the keys that it trusts.
const keyPackage = "gpg-pubkey"

// maxInstalled bounds the packages of a tree.
const maxInstalled = 100_000

// ReadInstalled reads rpm's database, a file of SQLite with the given size in
// bytes. Keys that rpm trusts are left out, as they are no packages.
func ReadInstalled(r io.ReaderAt, size int64) ([]Installed, error) {
	db, err := sqlite.Open(r, size)
	if err != nil {
		return nil, err
	}
	var out []Installed
	err = db.Rows("Packages", func(row int64, v []sqlite.Value) error {
		if len(v) < 2 || len(out) == maxInstalled {
			return fmt.Errorf("row %d is no package", row)
		}
		p, err := installed(v[1].Bytes)
		if err != nil {
			return fmt.Errorf("the header of package %d: %w", row, err)
		}
		if p.Name != keyPackage {
			out = append(out, *p)
		}
		return nil
	})
	return out, err
}

// installed reads a header as the database holds it: without the magic number
// before it, and with entries behind its region that were made when it was
// installed.
func installed(blob []byte) (*Installed, error) {
	if len(blob) < 8 {
		return nil, errors.New("is cut off")
	}
	count, size := binary.BigEndian.Uint32(blob), binary.BigEndian.Uint32(blob[4:])
	if count == 0 || count > maxHeaderEntries || size > maxHeaderData || int64(len(blob)) < 8+int64(count)*headerEntrySize+int64(size) {
		return nil, fmt.Errorf("has %d entries and %d bytes, more than there are", count, size)
	}
	index := blob[8 : 8+int(count)*headerEntrySize]
	h := &header{entries: make(map[uint32]headerEntry, count), data: blob[8+len(index):][:size]}
	for i := 0; i < len(index); i += headerEntrySize {
		tag := binary.BigEndian.Uint32(index[i:])
		e := headerEntry{binary.BigEndian.Uint32(index[i+4:]), binary.BigEndian.Uint32(index[i+8:]), binary.BigEndian.Uint32(index[i+12:])}
		if _, twice := h.entries[tag]; !twice && e.offset <= size {
			h.entries[tag] = e
		}
	}
	p := &Installed{}
	for _, t := range []struct {
		tag  uint32
		into *string
	}{
		{tagName, &p.Name}, {tagVersion, &p.Version}, {tagRelease, &p.Release}, {tagArch, &p.Arch}, {tagVendor, &p.Vendor},
		{tagLicense, &p.License}, {tagSummary, &p.Summary}, {tagURL, &p.URL}, {tagSourceRPM, &p.SourceRPM},
	} {
		var err error
		if *t.into, err = h.text(t.tag); err != nil {
			return nil, err
		}
	}
	if p.Name == "" || p.Version == "" {
		return nil, errors.New("has no name or no version")
	}
	switch epoch, ok, err := h.number(tagEpoch); {
	case err != nil:
		return nil, err
	case ok:
		p.Epoch = &epoch
	}
	return p, nil
}
