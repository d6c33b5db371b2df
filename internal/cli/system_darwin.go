package cli

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// rngDevice is where qemu takes the guest's random numbers from.
const rngDevice = "rng-random,id=rng,filename=/dev/urandom"

// guestAttributes has an interrupt reach this process alone, which ends the guest
// in its own time. A guest whose osbuildkit is killed goes on here.
func guestAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// keptFlags are those of chflags(1) that keep a file from being replaced: uappnd,
// uchg, sappnd and schg.
const keptFlags = unix.UF_APPEND | unix.UF_IMMUTABLE | unix.SF_APPEND | unix.SF_IMMUTABLE

// checkReplaceable tells why a file that is there cannot be replaced.
func checkReplaceable(name string) error {
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		return nil // what cannot be asked for is tried
	}
	if st.Flags&keptFlags != 0 {
		return fmt.Errorf("%s is marked so that it cannot be replaced: chflags nouchg,nouappnd,noschg,nosappnd %s", name, name)
	}
	return checkSticky(name, int(st.Uid))
}
