package cli

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// rngDevice is where qemu takes the guest's random numbers from.
const rngDevice = "rng-random,id=rng,filename=/dev/urandom"

// guestAttributes has an interrupt reach this process alone, which ends the guest
// in its own time. When this process is killed, the guest must not go on unseen.
func guestAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// checkReplaceable tells why a file that is there cannot be replaced.
func checkReplaceable(name string) error {
	var sx unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &sx); err != nil {
		return nil // what cannot be asked for is tried
	}
	if sx.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0 {
		return fmt.Errorf("%s is marked so that it cannot be replaced: chattr -ia %s", name, name)
	}
	if sx.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return fmt.Errorf("%s is a mount, and a mounted file cannot be replaced: mount its directory instead", name)
	}
	return checkSticky(name, int(sx.Uid))
}
