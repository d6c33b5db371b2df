package debian

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"

	"github.com/osbuildkit/osbuildkit/internal/pgp"
)

// MaxInRelease bounds an InRelease file, in bytes.
const MaxInRelease = 16 << 20

// Release is a repository's verified release file.
type Release struct {
	Origin, Label, Suite, Codename, Version string
	// Date is when the archive made the file; ValidUntil is zero if the file
	// does not expire.
	Date, ValidUntil time.Time
	// Architectures and Components list what the repository holds.
	Architectures, Components []string
	// AcquireByHash says that index files can also be had by checksum.
	AcquireByHash bool
	// SignedBy is the fingerprint, in hex, of the primary key whose signature
	// was checked.
	SignedBy string
	// KeyExpires is when the signature, the key that made it or that primary key
	// stops being valid; it is zero if none ever does.
	KeyExpires time.Time
	// Text is the text that was signed: what is called Release in archives
	// that have no InRelease.
	Text []byte

	keyRevoked bool
	noArchAll  bool
	files      map[string]IndexFile
}

// IndexFile is one file that a release file lists.
type IndexFile struct {
	// Component and Architecture say what is indexed.
	Component, Architecture string
	// Path is relative to dists/SUITE.
	Path string
	// ByHashPath is another path to the same file that does not change its
	// content; it is empty where the archive has none.
	ByHashPath string
	// Size is in bytes.
	Size int64
	// SHA256 is in hex.
	SHA256 string
}

// ParseInRelease checks the OpenPGP signature of an InRelease file against
// the keyring and parses the text that was signed. The keyring is armored or
// binary; empty means the embedded one (see DefaultKeyring). One good
// signature by a key of the keyring is enough, as it is for apt: an archive
// signs with its old and its new key for some years.
//
// Whether the key was valid is judged at the time of the signature, so that
// an old state of an archive can be built for ever; CheckValid is what
// refuses stale files and keys that have expired or were replaced since. A key
// that was revoked for another reason is never good.
func ParseInRelease(data, keyring []byte) (*Release, error) {
	if len(data) > MaxInRelease {
		return nil, fmt.Errorf("the InRelease file is larger than %d MiB", MaxInRelease>>20)
	}
	keys, err := readKeyring(keyring)
	if err != nil {
		return nil, err
	}
	block, _ := clearsign.Decode(data)
	if block == nil {
		return nil, errors.New("the InRelease file is not a clear-signed OpenPGP message; is the mirror's address right?")
	}
	sigs, err := io.ReadAll(io.LimitReader(block.ArmoredSignature.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("the signature of the InRelease file: %w", err)
	}
	signer, err := keys.VerifyText(sigs, func() io.Reader { return bytes.NewReader(block.Bytes) })
	var unknown *pgp.UnknownKeyError
	if errors.As(err, &unknown) {
		return nil, fmt.Errorf("the InRelease file is signed by %s, and the keyring has no such key; give the repository's public key in the option \"keyring\"", strings.Join(unknown.IDs, " and "))
	}
	if err != nil {
		return nil, fmt.Errorf("the InRelease file: %w", err)
	}
	rel, err := parseRelease(block.Plaintext)
	if err != nil {
		return nil, fmt.Errorf("the InRelease file: %w", err)
	}
	rel.signed(signer)
	return rel, nil
}

func (r *Release) signed(by *pgp.Signer) {
	r.SignedBy, r.KeyExpires, r.keyRevoked = by.Fingerprint, by.KeyExpires, by.Revoked
}

// releaseTime is the form of dates in release files; the zone is UTC by
// another name at times.
var releaseTimes = []string{time.RFC1123, "Mon, _2 Jan 2006 15:04:05 MST", time.RFC1123Z}

func parseRelease(text []byte) (*Release, error) {
	stanzas, err := ParseControl(text)
	if err != nil {
		return nil, err
	}
	if len(stanzas) != 1 {
		return nil, fmt.Errorf("has %d stanzas instead of one", len(stanzas))
	}
	s := stanzas[0]
	rel := &Release{
		Origin: s.Get("Origin"), Label: s.Get("Label"), Suite: s.Get("Suite"),
		Codename: s.Get("Codename"), Version: s.Get("Version"),
		Architectures: strings.Fields(s.Get("Architectures")),
		Components:    strings.Fields(s.Get("Components")),
		AcquireByHash: strings.EqualFold(s.Get("Acquire-By-Hash"), "yes"),
		Text:          text,
		noArchAll:     strings.EqualFold(s.Get("No-Support-for-Architecture-all"), "Packages"),
		files:         map[string]IndexFile{},
	}
	if rel.Date, err = parseTime(s.Get("Date")); err != nil {
		return nil, fmt.Errorf("field Date: %w", err)
	}
	if v := s.Get("Valid-Until"); v != "" {
		if rel.ValidUntil, err = parseTime(v); err != nil {
			return nil, fmt.Errorf("field Valid-Until: %w", err)
		}
	}
	// The components of the security archive once were listed with a prefix
	// that its paths do not have.
	for i, c := range rel.Components {
		rel.Components[i] = strings.TrimPrefix(c, "updates/")
	}
	for _, line := range strings.Split(s.Get("SHA256"), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 3 || !validSHA256(f[0]) || !validPath(f[2]) {
			return nil, fmt.Errorf("field SHA256: %q is not of the form \"CHECKSUM SIZE PATH\"", line)
		}
		size, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil || size < 0 {
			return nil, fmt.Errorf("field SHA256: %q has no valid size", line)
		}
		rel.files[f[2]] = IndexFile{Path: f[2], Size: size, SHA256: f[0]}
	}
	if len(rel.files) == 0 {
		return nil, errors.New("lists no file with its SHA256")
	}
	return rel, nil
}

func parseTime(s string) (time.Time, error) {
	for _, form := range releaseTimes {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no date such as \"Sat, 12 Sep 2026 07:55:41 UTC\"", s)
}

// PackagesIndexes returns the Packages files of the given components for the
// architecture, and those of architecture all where the archive keeps them
// apart. Of several compressions the smallest known one is taken.
func (r *Release) PackagesIndexes(components []string, arch string) ([]IndexFile, error) {
	if !slices.Contains(r.Architectures, arch) && len(r.Architectures) > 0 {
		return nil, fmt.Errorf("suite %s has no architecture %q; it has: %s", r.name(), arch, strings.Join(r.Architectures, " "))
	}
	arches := []string{arch}
	if slices.Contains(r.Architectures, "all") && !r.noArchAll && arch != "all" {
		arches = append(arches, "all")
	}
	var out []IndexFile
	for _, comp := range components {
		found := false
		for _, a := range arches {
			f, ok := r.packagesIndex(path.Join(comp, "binary-"+a))
			if !ok {
				continue
			}
			f.Component, f.Architecture = comp, a
			out = append(out, f)
			found = true
		}
		if !found {
			return nil, fmt.Errorf("suite %s has no component %q for %s; it has: %s", r.name(), comp, arch, strings.Join(r.Components, " "))
		}
	}
	return out, nil
}

func (r *Release) name() string {
	if r.Codename != "" {
		return r.Codename
	}
	return r.Suite
}

// maxFuture is how far the clocks of an archive and of a builder may differ.
const maxFuture = 10 * time.Minute

// CheckSuite reports whether the release file is that of the suite that was asked
// for, by its suite or its codename: a mirror that gives the genuine file of another
// one could hold back what that suite brings, such as security updates. Of a suite
// with a slash, as "buster/updates", one part may be the name. A repository without
// suites, or a file that names none, is not checked; nor is a file that is pinned.
func (r *Release) CheckSuite(asked string, pinned bool) error {
	if pinned || IsFlat(asked) || r.Suite == "" && r.Codename == "" {
		return nil
	}
	for _, name := range append(strings.Split(asked, "/"), asked) {
		if name != "" && (name == r.Suite || name == r.Codename) {
			return nil
		}
	}
	return fmt.Errorf("the release file is that of the suite %q (codename %q) and not of %q; use another mirror, or name that suite", r.Suite, r.Codename, asked)
}

// StaleError says that a release file is no longer valid.
type StaleError struct {
	name  string
	until time.Time
}

// Error says until when it was, and what to do.
func (e *StaleError) Error() string {
	return fmt.Sprintf("the release file of %s was valid until %s; %s", e.name, e.until.Format(time.RFC3339), validHint)
}

const validHint = "pin the file with \"checksum\" to use it all the same, or use a mirror that is up to date"

// CheckValid reports whether the release file may be used at the time now.
// Pinned means that the author named the checksum of this very file; then its
// age does not matter.
func (r *Release) CheckValid(now time.Time, pinned bool) error {
	if pinned {
		return nil
	}
	if r.Date.After(now.Add(maxFuture)) {
		return fmt.Errorf("the release file of %s has the date %s, which is to come; set the clock of the builder, or use another mirror", r.name(), r.Date.Format(time.RFC3339))
	}
	return r.checkFresh(now, now)
}

// CheckSnapshot reports whether the release file may be used as the state that
// its archive had at a time: it was valid then, and a key that signed it is so now.
func (r *Release) CheckSnapshot(at, now time.Time, pinned bool) error {
	if pinned {
		return nil
	}
	if r.Date.After(at.Add(maxFuture)) {
		return fmt.Errorf("the release file of %s has the date %s, which is after the snapshot of %s; use another snapshot archive", r.name(), r.Date.Format(time.RFC3339), at.Format(time.RFC3339))
	}
	return r.checkFresh(at, now)
}

// checkFresh reports whether the file was valid at a time, and its key is so now. A
// StaleError says that the former alone is wrong.
func (r *Release) checkFresh(at, now time.Time) error {
	key := r.checkKey(now)
	if r.ValidUntil.IsZero() || !at.After(r.ValidUntil) {
		return key
	}
	stale := &StaleError{r.name(), r.ValidUntil}
	if key != nil {
		return errors.New(stale.Error())
	}
	return stale
}

func (r *Release) checkKey(now time.Time) error {
	signer := pgp.Signer{Fingerprint: r.SignedBy, KeyExpires: r.KeyExpires, Revoked: r.keyRevoked}
	if err := signer.CheckNow(now); err != nil {
		return fmt.Errorf("the release file of %s: %w; give a newer key in \"keyring\", or %s", r.name(), err, validHint)
	}
	return nil
}

func validSHA256(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return true
}

// validPath reports whether s is a relative path of plain components: what a
// list may name below a mirror, and what may become a file name.
func validPath(s string) bool {
	if s == "" || len(s) > 1000 || path.Clean(s) != s || strings.HasPrefix(s, "/") || s == "." || s == ".." || strings.HasPrefix(s, "../") {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f || s[i] == '\\' {
			return false
		}
	}
	return true
}
