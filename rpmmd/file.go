package rpmmd

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // only to notice damage
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// File is what the headers of a package file say.
type File struct {
	// Name, Epoch, Version, Release and Arch are the package's identity.
	Name    string
	Epoch   uint32
	Version string
	Release string
	Arch    string
	// License, Vendor and SourceRPM are the fields of these names.
	License, Vendor, SourceRPM string
	// BuildTime is in seconds.
	BuildTime int64
	// InstalledSize is what the files take when they are installed, in bytes.
	InstalledSize int64
	// PayloadDigest is the checksum of the payload that the header vouches
	// for; packages built before 2017 have none.
	PayloadDigest Checksum
	// HeaderSHA256 and HeaderSHA1 are the checksums of the header that stand
	// in the file, in hex; they may be missing.
	HeaderSHA256, HeaderSHA1 string
	// Signed says that the file has a signature. It does not say that the
	// signature is good.
	Signed bool
	// HeaderEnd is the offset of the payload.
	HeaderEnd int64

	signature, header *header
}

// NEVRA returns NAME-[EPOCH:]VERSION-RELEASE.ARCH.
func (f *File) NEVRA() string {
	return nevra(f.Name, f.Epoch, f.Version, f.Release, f.Arch)
}

func nevra(name string, epoch uint32, version, release, arch string) string {
	if epoch != 0 {
		version = fmt.Sprintf("%d:%s", epoch, version)
	}
	return name + "-" + version + "-" + release + "." + arch
}

// ReadFile reads the headers of a package file, up to its payload. Nothing of
// them can be trusted before VerifyPackage has found the signature good.
func ReadFile(r io.Reader) (*File, error) {
	c := &countingReader{r: r}
	if err := readLead(c); err != nil {
		return nil, err
	}
	sig, err := readHeader(c, tagHeaderSignatures, maxSignatureData)
	if err != nil {
		return nil, fmt.Errorf("the package's signature header %w", err)
	}
	var pad [8]byte
	if _, err := io.ReadFull(c, pad[:-len(sig.raw)&7]); err != nil {
		return nil, errors.New("the package's signature header is cut off")
	}
	head, err := readHeader(c, tagHeaderImmutable, maxHeaderData)
	if err != nil {
		return nil, fmt.Errorf("the package's header %w", err)
	}
	f := &File{HeaderEnd: c.n, signature: sig, header: head}
	if err := f.readFields(); err != nil {
		return nil, fmt.Errorf("the package's header: %w", err)
	}
	if err := f.checkHeader(); err != nil {
		return nil, fmt.Errorf("package %s: %w", f.NEVRA(), err)
	}
	return f, nil
}

func (f *File) readFields() error {
	for _, t := range []struct {
		tag uint32
		to  *string
	}{
		{tagName, &f.Name}, {tagVersion, &f.Version}, {tagRelease, &f.Release}, {tagArch, &f.Arch},
		{tagLicense, &f.License}, {tagVendor, &f.Vendor}, {tagSourceRPM, &f.SourceRPM},
	} {
		var err error
		if *t.to, err = f.header.text(t.tag); err != nil {
			return err
		}
	}
	if !validName(f.Name) || !validVersion(f.Version) || !validVersion(f.Release) || !validArch(f.Arch) {
		return fmt.Errorf("name %.80q, version %.80q, release %.80q, architecture %.80q are not valid", f.Name, f.Version, f.Release, f.Arch)
	}
	epoch, _, err := f.header.number(tagEpoch)
	if err != nil || epoch > 1<<32-1 {
		return errors.New("the epoch is not valid")
	}
	f.Epoch = uint32(epoch)
	built, _, err := f.header.number(tagBuildTime)
	if err != nil || built > 1<<40 {
		return errors.New("the build time is not valid")
	}
	f.BuildTime = int64(built)
	size, long, err := f.header.number(tagLongSize)
	if err == nil && !long {
		size, _, err = f.header.number(tagSize)
	}
	if err != nil || size > 1<<60 {
		return errors.New("the installed size is not valid")
	}
	f.InstalledSize = int64(size)
	for _, t := range []struct {
		tag uint32
		to  *string
	}{{sigTagSHA256, &f.HeaderSHA256}, {sigTagSHA1, &f.HeaderSHA1}} {
		if *t.to, err = f.signature.text(t.tag); err != nil {
			return err
		}
	}
	for _, tag := range []uint32{sigTagOpenPGP, sigTagRSA, sigTagDSA, sigTagPGP, sigTagGPG} {
		f.Signed = f.Signed || f.signature.has(tag)
	}
	return f.readPayloadDigest()
}

// readPayloadDigest reads the digest of the payload as it is in the file. The
// numbers of the algorithms are those of OpenPGP.
func (f *File) readPayloadDigest() error {
	digest, err := f.header.text(tagPayloadDigest)
	if err != nil || digest == "" {
		return err
	}
	alg, has, err := f.header.number(tagPayloadDigestAlg)
	if err != nil {
		return err
	}
	if !has {
		alg = 8
	}
	kind, ok := map[uint64]string{1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}[alg]
	if !ok {
		return fmt.Errorf("the payload's digest is of the unknown kind %d", alg)
	}
	if f.PayloadDigest, err = newChecksum(kind, digest); err != nil {
		return fmt.Errorf("the payload's digest: %w", err)
	}
	return nil
}

// checkHeader compares the header with the digests beside it. Whoever changes
// the one can change the others: this finds damage, not forgery.
func (f *File) checkHeader() error {
	sum256 := sha256.Sum256(f.header.raw)
	sum1 := sha1.Sum(f.header.raw) //nolint:gosec // only to notice damage
	if f.HeaderSHA256 != "" && !strings.EqualFold(f.HeaderSHA256, hex.EncodeToString(sum256[:])) ||
		f.HeaderSHA1 != "" && !strings.EqualFold(f.HeaderSHA1, hex.EncodeToString(sum1[:])) {
		return errors.New("the header is damaged: it does not have its checksum")
	}
	return nil
}

// VerifyPackage checks a whole package file of the given size: that a key of
// the set has signed it, and that neither the header nor the payload has been
// changed since. A signature of the header alone is enough where the header
// vouches for the payload, which all packages built since 2017 do; that of
// older ones must be over header and payload.
//
// It says who signed, and what the package is; that it is the one that was
// asked for is for Package.CheckFile to say.
func VerifyPackage(r io.ReaderAt, size int64, keys *Keys) (*File, *Signer, error) {
	f, err := checkPackage(r, size)
	if err != nil {
		return nil, nil, err
	}
	signer, err := f.verify(r, size, keys)
	if err != nil {
		return nil, nil, signatureError("package "+f.NEVRA(), err)
	}
	return f, signer, nil
}

// CheckPackage is VerifyPackage for those who ask for no signature: it only
// notices damage.
func CheckPackage(r io.ReaderAt, size int64) (*File, error) { return checkPackage(r, size) }

func checkPackage(r io.ReaderAt, size int64) (*File, error) {
	f, err := ReadFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, err
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("package %s: %s", f.NEVRA(), fmt.Sprintf(format, args...))
	}
	want, has, err := f.signature.number(sigTagLongSize)
	if err == nil && !has {
		want, has, err = f.signature.number(sigTagSize)
	}
	if err != nil {
		return nil, bad("its size: %v", err)
	}
	if have := uint64(size - f.headerStart()); has && have != want {
		return nil, bad("the file is damaged: header and payload have %d bytes instead of %d", have, want)
	}
	if f.PayloadDigest.Algorithm == "" {
		return f, nil
	}
	h := f.PayloadDigest.Hash()
	if _, err := io.Copy(h, io.NewSectionReader(r, f.HeaderEnd, size-f.HeaderEnd)); err != nil {
		return nil, bad("%v", err)
	}
	if hex.EncodeToString(h.Sum(nil)) != f.PayloadDigest.Hex {
		return nil, bad("the payload was changed or is damaged: it does not have the checksum of the header")
	}
	return f, nil
}

func (f *File) headerStart() int64 { return f.HeaderEnd - int64(len(f.header.raw)) }

// verify checks the signatures in the order of what they prove.
func (f *File) verify(r io.ReaderAt, size int64, keys *Keys) (*Signer, error) {
	var last error = ErrNotSigned
	header := func() io.Reader { return bytes.NewReader(f.header.raw) }
	all := func() io.Reader { return io.NewSectionReader(r, f.headerStart(), size-f.headerStart()) }
	try := func(sigs []byte, signed func() io.Reader) *Signer {
		signer, err := keys.Verify(sigs, signed)
		// What is bad tells more than that there is none.
		if err != nil && !errors.Is(err, ErrNotSigned) {
			last = err
		}
		return signer
	}
	headerSigs, err := f.headerSignatures()
	if err != nil {
		// One that cannot be read is no reason to refuse another that is good.
		last = err
	}
	if f.PayloadDigest.Algorithm != "" {
		// A package may be signed by a key that only the newest programs know
		// beside one that all do: this is the signer then.
		var newer *Signer
		for _, sigs := range headerSigs {
			signer := try(sigs, header)
			if signer != nil && signer.KeyVersion <= 4 {
				return signer, nil
			}
			if newer == nil {
				newer = signer
			}
		}
		if newer != nil {
			return newer, nil
		}
	}
	for _, tag := range []uint32{sigTagPGP, sigTagGPG} {
		sigs, err := f.signature.blob(tag)
		if err != nil {
			return nil, err
		}
		if len(sigs) == 0 {
			continue
		}
		if signer := try(sigs, all); signer != nil {
			return signer, nil
		}
	}
	if errors.Is(last, ErrNotSigned) && len(headerSigs) > 0 && f.PayloadDigest.Algorithm == "" {
		return nil, errors.New("only the header is signed, and it has no checksum of the payload")
	}
	return nil, last
}

// headerSignatures lists the signatures over the header: those of rpm 6 in
// base64, and the one of older versions, which may be one of them. The error
// is about those that cannot be read; it leaves out no other.
func (f *File) headerSignatures() (out [][]byte, err error) {
	add := func(sigs []byte) {
		if len(sigs) > 0 && !slices.ContainsFunc(out, func(o []byte) bool { return bytes.Equal(o, sigs) }) {
			out = append(out, sigs)
		}
	}
	texts, err := f.signature.texts(sigTagOpenPGP, 16)
	for _, t := range texts {
		sigs, bad := base64.StdEncoding.DecodeString(t)
		if bad != nil {
			err = fmt.Errorf("a signature is no base64: %w", bad)
			continue
		}
		add(sigs)
	}
	for _, tag := range []uint32{sigTagRSA, sigTagDSA} {
		sigs, bad := f.signature.blob(tag)
		if bad != nil {
			err = bad
			continue
		}
		add(sigs)
	}
	return out, err
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
