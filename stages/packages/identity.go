package packages

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/unix"
	"github.com/osbuildkit/osbuildkit/tree"
)

// machineIDs is the number of the machine. systemd fills it at boot; the other
// file is its copy, which systemd-tmpfiles links.
var machineIDs = []cleanup{
	{"etc/machine-id", emptyMachineID},
	{"var/lib/dbus/machine-id", removeRegular},
}

// identities lists what else makes a machine this machine, so that it must not be a
// part of an image. All of it comes back: some program makes the file when it
// is missing, or a unit of firstBootUnits does. A name that nobody would make
// again stays. A key goes even then, as a secret that many know is none; the
// documentation says how to make it.
var identities = []cleanup{
	{"etc/ssh/ssh_host_*_key", remove},
	{"etc/ssh/ssh_host_*_key.pub", remove},
	{"etc/dropbear/dropbear_*_host_key", remove},
	{"etc/dropbear/dropbear_*_host_key.pub", remove},
	{"etc/ssl/private/ssl-cert-snakeoil.key", remove},
	{"etc/ssl/certs/ssl-cert-snakeoil.pem", remove},
	{"etc/ssl/certs/*.[0-9]*", removeSnakeoilHash},
	{"etc/bind/rndc.key", remove},
	{"etc/nsd/nsd_server.key", remove},
	{"etc/nsd/nsd_server.pem", remove},
	{"etc/nsd/nsd_control.key", remove},
	{"etc/nsd/nsd_control.pem", remove},
	{"etc/xrdp/rsakeys.ini", remove},
	// systemd and its boot loader make theirs at boot, or when they are asked.
	{"var/lib/systemd/random-seed", remove},
	{"var/lib/systemd/credential.secret", remove},
	{"var/lib/urandom/random-seed", remove},
	{"boot/efi/loader/random-seed", remove},
	// NetworkManager makes it when it starts.
	{"var/lib/NetworkManager/secret_key", remove},
	{"etc/iscsi/initiatorname.iscsi", neutralInitiator},
	{"etc/nvme/hostnqn", ifRemade(nvmeUnit, truncate)},
	{"etc/nvme/hostid", ifRemade(nvmeUnit, truncate)},
	{"etc/hostid", ifRemade(hostIDUnit, remove)},
	{"etc/popularity-contest.conf", ifRemade(popconUnit, neutralPopcon)},
	{"etc/cron.d/popularity-contest", ifRemade(popconUnit, remove)},
}

// ifRemade does act where the tree gets a unit that makes the file again.
func ifRemade(unit string, act func(*tree.Root, string, fs.FileInfo) error) func(*tree.Root, string, fs.FileInfo) error {
	return func(t *tree.Root, name string, st fs.FileInfo) error {
		ok, err := remade(t, unit)
		if err != nil || !ok {
			return err
		}
		return act(t, name, st)
	}
}

// emptyMachineID leaves an empty file, into which systemd writes at boot.
func emptyMachineID(t *tree.Root, name string, st fs.FileInfo) error {
	if st.Mode().IsRegular() {
		if st.Size() == 0 {
			return nil
		}
		if st.Size() < 32 {
			// "uninitialized" asks systemd for its first-boot actions.
			data, err := t.ReadText(name, tree.MaxLine)
			if err != nil || strings.TrimSpace(string(data)) == "uninitialized" {
				return err
			}
		}
	}
	if st.IsDir() {
		return errors.New("is a directory")
	}
	return t.ReplaceFile(name, nil, 0o444, 0, 0)
}

// snakeoilHash is the name of a link by which OpenSSL finds a certificate.
var snakeoilHash = regexp.MustCompile(`^[0-9a-f]{8}\.[0-9]+$`)

// removeSnakeoilHash removes the links to the certificate that was removed.
// The new one has another subject, and so another name.
func removeSnakeoilHash(t *tree.Root, name string, st fs.FileInfo) error {
	if st.Mode()&fs.ModeSymlink == 0 || !snakeoilHash.MatchString(path.Base(name)) {
		return nil
	}
	target, err := t.Readlink(name)
	if err != nil || path.Base(target) != "ssl-cert-snakeoil.pem" {
		return err
	}
	return t.Remove(name)
}

// generateName asks Debian's start script of iscsid for a name.
const generateName = "GenerateName=yes\n"

// neutralInitiator takes the name of the iSCSI initiator away, in the way that
// the tree's iscsid can start after: Debian's start script makes a name where
// the file asks for one, and fails where there is no file; others have a unit
// that makes the file where it is missing. The name stays where neither is.
func neutralInitiator(t *tree.Root, name string, st fs.FileInfo) error {
	if !st.Mode().IsRegular() {
		return nil
	}
	for _, script := range []string{"usr/lib/open-iscsi/startup-checks.sh", "lib/open-iscsi/startup-checks.sh", "usr/libexec/open-iscsi/startup-checks.sh"} {
		text, err := t.ReadText(script, tree.MaxUnit)
		if missing(err) {
			continue
		}
		if err != nil {
			return err
		}
		if !strings.Contains(string(text), "GenerateName=yes") {
			continue
		}
		return rewrite(t, name, st, func([]byte) []byte { return []byte(generateName) })
	}
	if ok, err := t.Exists("usr/lib/systemd/system/iscsi-init.service"); err != nil || !ok {
		return err
	}
	return t.Remove(name)
}

// popconLines are the lines of popularity-contest.conf that its package makes
// for each machine, and makes again where they are missing.
var popconLines = regexp.MustCompile(`(?m)^(MY_HOSTID|DAY)=.*\n?`)

func neutralPopcon(t *tree.Root, name string, st fs.FileInfo) error {
	if !st.Mode().IsRegular() {
		return nil
	}
	return rewrite(t, name, st, func(data []byte) []byte { return popconLines.ReplaceAll(data, nil) })
}

// rewrite changes the content of a file, and leaves its mode and owner.
func rewrite(t *tree.Root, name string, st fs.FileInfo, change func([]byte) []byte) error {
	data, err := t.ReadText(name, tree.MaxConfig)
	if err != nil {
		return err
	}
	changed := change(data)
	if string(changed) == string(data) {
		return nil
	}
	sys, ok := st.Sys().(*unix.SysStat)
	if !ok {
		return fmt.Errorf("%s: its owner is not known", name)
	}
	return t.ReplaceFile(name, changed, st.Mode().Perm(), int(sys.Uid), int(sys.Gid))
}
