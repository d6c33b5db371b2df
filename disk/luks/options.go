package luks

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk"
)

// Methods that turn a passphrase into a key.
const (
	Argon2id = "argon2id"
	PBKDF2   = "pbkdf2"
)

// HeaderSize is the number of bytes before the encrypted data.
const HeaderSize = 16 << 20

// MaxLabel is the length of the longest label in bytes.
const MaxLabel = 47

// MaxPassphrase is the length of the longest passphrase in bytes: what
// cryptsetup reads from a terminal or, by default, as a key file of a system.
const MaxPassphrase = 512

// KDF says how expensive it is to try a passphrase.
type KDF struct {
	// Method is Argon2id, which is the default, or PBKDF2, which GRUB knows.
	Method string
	// Iterations is the number of passes; the default is 3 with Argon2id and
	// 600000 with PBKDF2.
	Iterations int
	// Memory is what Argon2id needs in KiB; 65536 by default. Whoever opens the
	// volume has to have it.
	Memory int
	// Threads is the number of lanes of Argon2id; 4 by default.
	Threads int
}

// Options say what is written.
type Options struct {
	// UUID identifies the volume.
	UUID disk.UUID
	// Label is its label, of up to MaxLabel bytes.
	Label string
	// Passphrase opens the volume.
	Passphrase []byte
	// SectorSize is the unit of encryption in bytes, 512 or 4096; 512 by
	// default.
	SectorSize int
	// KDF protects the passphrase.
	KDF KDF
	// Derive derives the volume key and everything else that would be random
	// from the passphrase and the UUID, so that the same input gives the same
	// bytes. Such a volume is as secret as its first passphrase, for ever.
	Derive bool
}

// Limits of what is expensive, as libcryptsetup has them.
const (
	minIterations2 = 1000 // of PBKDF2
	maxIterationsA = 1 << 20
	minMemory      = 32
	maxMemory      = 4 << 20
	maxThreads     = 4
)

// Check reports why a passphrase cannot be protected like that. What is zero
// has its default.
func (k KDF) Check() error {
	switch k.Method {
	case "", Argon2id:
		k = k.Filled()
		switch {
		case k.Iterations < 1 || k.Iterations > maxIterationsA:
			return fmt.Errorf("argon2id makes from 1 to %d iterations, not %d", maxIterationsA, k.Iterations)
		case k.Threads < 1 || k.Threads > maxThreads:
			return fmt.Errorf("argon2id has from 1 to %d lanes, not %d", maxThreads, k.Threads)
		case k.Memory < minMemory || k.Memory > maxMemory || k.Memory < 8*k.Threads:
			return fmt.Errorf("argon2id takes from %d to %d KiB of memory, not %d", minMemory, maxMemory, k.Memory)
		}
	case PBKDF2:
		if k.Memory != 0 || k.Threads != 0 {
			return errors.New("pbkdf2 has neither memory nor lanes")
		}
		if k = k.Filled(); k.Iterations < minIterations2 || k.Iterations > math.MaxInt32 {
			return fmt.Errorf("pbkdf2 makes from %d to %d iterations, not %d", minIterations2, math.MaxInt32, k.Iterations)
		}
	default:
		return fmt.Errorf("the method %q is not supported: use argon2id or pbkdf2", k.Method)
	}
	return nil
}

// Filled returns the KDF with its defaults: for Argon2id the second recommended
// ones of RFC 9106, 4.
func (k KDF) Filled() KDF {
	if k.Method == PBKDF2 {
		if k.Iterations == 0 {
			k.Iterations = 600_000
		}
		return k
	}
	k.Method = Argon2id
	if k.Iterations == 0 {
		k.Iterations = 3
	}
	if k.Memory == 0 {
		k.Memory = 64 << 10
	}
	if k.Threads == 0 {
		k.Threads = 4
	}
	return k
}

// CheckLabel reports why a label cannot be that of a volume.
func CheckLabel(label string) error {
	if len(label) > MaxLabel {
		return fmt.Errorf("the label %q has %d bytes, and that of LUKS2 can have %d", label, len(label), MaxLabel)
	}
	if strings.ContainsFunc(label, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		return fmt.Errorf("the label %q holds a control character or invalid UTF-8", label)
	}
	return nil
}

// CheckPassphrase reports why a passphrase cannot be one. It does not tell what
// it is.
func CheckPassphrase(p []byte) error {
	if len(p) == 0 {
		return errors.New("the passphrase is empty")
	}
	if len(p) > MaxPassphrase {
		return fmt.Errorf("the passphrase has %d bytes, and cryptsetup takes %d", len(p), MaxPassphrase)
	}
	return nil
}

// check completes the options.
func (o *Options) check() error {
	if o.SectorSize == 0 {
		o.SectorSize = 512
	}
	if o.SectorSize != 512 && o.SectorSize != 4096 {
		return fmt.Errorf("a sector size of %d is not supported: use 512 or 4096", o.SectorSize)
	}
	err := errors.Join(o.KDF.Check(), CheckLabel(o.Label), CheckPassphrase(o.Passphrase))
	o.KDF = o.KDF.Filled()
	return err
}
