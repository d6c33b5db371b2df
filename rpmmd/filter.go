package rpmmd

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// maxPackageText bounds what metadata say of one package, in bytes. The lists
// of files of the largest packages have some megabytes.
const maxPackageText = 64 << 20

// The two forms in which metadata name the package that a text is of: the
// attribute of filelists.xml, and the checksum of primary.xml.
var (
	packageStart = regexp.MustCompile(`<package[ \t\r\n>]`)
	packageID    = regexp.MustCompile(`^<package[^>]*[ \t\r\n]pkgid\s*=\s*["']([0-9a-fA-F]+)["']`)
	packageSum   = regexp.MustCompile(`<checksum[^>]*[ \t\r\n]pkgid\s*=\s*["']YES["'][^>]*>\s*([0-9a-fA-F]+)\s*</checksum>`)
	// The element of primary.xml that says where the file is.
	packageLocation = regexp.MustCompile(`<location(?:\s+[A-Za-z:._-]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*(/?)>`)
)

// FilterPackages copies a primary.xml or filelists.xml, not compressed, and
// leaves out the packages whose checksums, in hex, keep does not want. What is
// kept is kept as it is: a program that reads the copy sees of these packages
// what it would see in the original, but for the place of the file where keep
// names another one, below the repository.
func FilterPackages(w io.Writer, r io.Reader, keep func(checksum string) (place string, ok bool)) error {
	const end = "</package>"
	in := bufio.NewReaderSize(r, 1<<20)
	first := true
	for {
		text, err := readThrough(in, end)
		whole := err == nil
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		at := packageStart.FindIndex(text)
		switch {
		case !whole && at != nil:
			return errors.New("the list of packages ends in the middle of one")
		case !whole:
			_, err := w.Write(text)
			return err
		case at == nil:
			return errors.New("the list of packages is damaged: one ends that has not begun")
		}
		if first {
			if _, err := w.Write(text[:at[0]]); err != nil {
				return err
			}
			first = false
		}
		text = text[at[0]:]
		id := packageID.FindSubmatch(text)
		if id == nil {
			id = packageSum.FindSubmatch(text)
		}
		if id == nil {
			continue
		}
		place, ok := keep(strings.ToLower(string(id[1])))
		if !ok {
			continue
		}
		if text, err = relocate(text, place); err != nil {
			return err
		}
		if _, err := w.Write(append(text, '\n')); err != nil {
			return err
		}
	}
}

// relocate makes what metadata say of a package name another place of its file.
func relocate(text []byte, place string) ([]byte, error) {
	if place == "" {
		return text, nil
	}
	if !validLocation(place) {
		return nil, fmt.Errorf("%.200q is no plain path", place)
	}
	var href bytes.Buffer
	if err := xml.EscapeText(&href, []byte(place)); err != nil {
		return nil, err
	}
	attribute := ` href="` + href.String() + `"`
	return packageLocation.ReplaceAllFunc(text, func(element []byte) []byte {
		if bytes.Contains(element, []byte(attribute)) && bytes.Count(element, []byte("=")) == 1 {
			return element
		}
		return []byte("<location" + attribute + string(packageLocation.FindSubmatch(element)[1]) + ">")
	}), nil
}

// readThrough reads up to the end of the next occurrence of what; with io.EOF
// it returns what is left.
func readThrough(r *bufio.Reader, what string) ([]byte, error) {
	var out []byte
	last := what[len(what)-1]
	for {
		part, err := r.ReadSlice(last)
		out = append(out, part...)
		switch {
		case len(out) > maxPackageText:
			return nil, fmt.Errorf("the list of packages has more than %d MiB of one package", maxPackageText>>20)
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			return out, err
		case bytes.HasSuffix(out, []byte(what)):
			return out, nil
		}
	}
}

// WithFiles returns a repomd.xml of the given files, each as repomd.xml would
// list it.
func (r *Repomd) WithFiles(data []Data) []byte {
	copied := &Repomd{Revision: r.Revision, Data: data}
	types := make([]string, len(data))
	for i, d := range data {
		types[i] = d.Type
	}
	return copied.Subset(types...)
}
