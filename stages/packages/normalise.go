package packages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// cleanup is what the normaliser does to the files of one pattern.
type cleanup struct {
	// pattern is a path with shell patterns in its components, relative to
	// the root of the tree.
	pattern string
	// act says what is done to a file that matches.
	act func(t *tree.Root, name string, st fs.FileInfo) error
}

// cleanups lists what differs between two builds of the same packages, or
// must not be the same on two machines. It was found by comparing the trees
// of two builds; it never touches what a package ships.
var cleanups = []cleanup{
	// Caches that hold times, inode numbers or offsets of this very run.
	{"var/cache/ldconfig/aux-cache", remove},
	{"var/cache/apt/*.bin", remove},
	{"var/cache/apt/archives/*.deb", remove},
	{"var/cache/apt/archives/partial/*", removeAll},
	{"var/cache/apt/archives/lock", remove},
	{"var/lib/apt/lists/*", keepNamed(removeAll, "partial", "auxfiles")},
	{"var/lib/apt/lists/partial/*", removeAll},
	{"var/lib/apt/periodic/*", remove},
	{"var/cache/man/*", removeAll},
	{"var/cache/fontconfig/*", keepNamed(remove, "CACHEDIR.TAG")},
	// Logs. Empty files stay, as some daemons do not make their own.
	{"var/log/apt/history.log*", remove},
	{"var/log/apt/term.log*", remove},
	{"var/log/apt/eipp.log*", remove},
	{"var/log/journal/*", removeAll},
	{"var/log/*", truncate},
	{"var/log/*/*", truncate},
	// What makes a machine this machine.
	{"etc/machine-id", emptyMachineID},
	{"var/lib/dbus/machine-id", removeRegular},
	{"etc/ssh/ssh_host_*_key", remove},
	{"etc/ssh/ssh_host_*_key.pub", remove},
	{"etc/ssl/private/ssl-cert-snakeoil.key", remove},
	{"etc/ssl/certs/ssl-cert-snakeoil.pem", remove},
	{"var/lib/systemd/random-seed", remove},
	{"var/lib/systemd/credential.secret", remove},
	{"var/lib/urandom/random-seed", remove},
	{"boot/efi/loader/random-seed", remove},
	{"var/lib/NetworkManager/secret_key", remove},
	{"etc/iscsi/initiatorname.iscsi", remove},
	{"etc/hostid", remove},
	// Backups of databases as they were in the middle of the installation.
	{"var/lib/dpkg/*-old", remove},
	{"var/cache/debconf/*-old", remove},
	{"etc/passwd-", remove},
	{"etc/group-", remove},
	{"etc/shadow-", remove},
	{"etc/gshadow-", remove},
	{"etc/subuid-", remove},
	{"etc/subgid-", remove},
	// Locks and journals of databases that were closed.
	{"etc/.pwd.lock", remove},
	{"var/lib/dpkg/lock*", remove},
	{"var/lib/dpkg/triggers/Lock", remove},
	{"var/lib/apt/daily_lock", remove},
	{"var/lib/apt/lists/lock", remove},
	{"var/lib/rpm/*.sqlite-wal", removeEmpty},
	{"var/lib/rpm/*.sqlite-shm", removeIndex},
	{"usr/lib/sysimage/rpm/*.sqlite-wal", removeEmpty},
	{"usr/lib/sysimage/rpm/*.sqlite-shm", removeIndex},
	{"var/lib/dnf/*.sqlite-wal", removeEmpty},
	{"var/lib/dnf/*.sqlite-shm", removeIndex},
	{"usr/lib/sysimage/libdnf5/*.sqlite-wal", removeEmpty},
	{"usr/lib/sysimage/libdnf5/*.sqlite-shm", removeIndex},
	{"var/lib/rpm/.rpm.lock", remove},
	{"usr/lib/sysimage/rpm/.rpm.lock", remove},
	{"var/lib/rpm/.keyring.lock", remove},
	{"usr/lib/sysimage/rpm/.keyring.lock", remove},
}

// normalise is the part org.osbuildkit.normalise. Doing it twice is doing it
// once.
func normalise(ctx context.Context, in *module.Input) error {
	t, err := tree.Open(in.Tree)
	if err != nil {
		return err
	}
	defer t.Close()
	for _, c := range cleanups {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.apply(t); err != nil {
			return fmt.Errorf("/%s: %w", c.pattern, err)
		}
	}
	if err := hostKeyUnit(t); err != nil {
		return fmt.Errorf("making the unit that makes ssh host keys: %w", err)
	}
	if err := ledger.Update(in.Ledger, in.Time(), func(l *ledger.Ledger) error { return l.Prune(in.Tree) }); err != nil {
		return fmt.Errorf("dropping what was removed from the ledger: %w", err)
	}
	return clampTimes(t, in.Epoch)
}

// apply acts on all that matches the pattern. Directories on the way are real
// ones only: a link may lead to what another pattern, or nobody, is to clean.
func (c cleanup) apply(t *tree.Root) error {
	found := []string{"."}
	for _, part := range strings.Split(c.pattern, "/") {
		var next []string
		for _, dir := range found {
			st, err := t.Lstat(dir)
			if missing(err) || err == nil && !st.IsDir() {
				continue
			}
			if err != nil {
				return err
			}
			if !strings.ContainsAny(part, "*?[") {
				next = append(next, path.Join(dir, part))
				continue
			}
			entries, err := t.ReadDir(dir)
			if err != nil {
				return err
			}
			for _, e := range entries {
				if ok, _ := path.Match(part, e.Name()); ok {
					next = append(next, path.Join(dir, e.Name()))
				}
			}
		}
		found = next
	}
	for _, name := range found {
		st, err := t.Lstat(name)
		if missing(err) {
			continue
		}
		if err != nil {
			return err
		}
		if err := c.act(t, name, st); err != nil {
			return err
		}
	}
	return nil
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// remove removes files and links, and leaves directories.
func remove(t *tree.Root, name string, st fs.FileInfo) error {
	if st.IsDir() {
		return nil
	}
	return t.Remove(name)
}

// removeRegular removes a file, and leaves a link that stands for another.
func removeRegular(t *tree.Root, name string, st fs.FileInfo) error {
	if !st.Mode().IsRegular() {
		return nil
	}
	return t.Remove(name)
}

// removeEmpty removes a journal that has nothing in it. One that has belongs
// to a database that some program has left open: it is a part of the data.
func removeEmpty(t *tree.Root, name string, st fs.FileInfo) error {
	if !st.Mode().IsRegular() || st.Size() > 0 {
		return nil
	}
	return t.Remove(name)
}

// removeIndex removes the index of a journal that is not there any more.
func removeIndex(t *tree.Root, name string, st fs.FileInfo) error {
	if ok, err := t.Exists(strings.TrimSuffix(name, "-shm") + "-wal"); err != nil || ok {
		return err
	}
	return remove(t, name, st)
}

func removeAll(t *tree.Root, name string, _ fs.FileInfo) error { return t.RemoveAll(name) }

func keepNamed(act func(*tree.Root, string, fs.FileInfo) error, names ...string) func(*tree.Root, string, fs.FileInfo) error {
	return func(t *tree.Root, name string, st fs.FileInfo) error {
		for _, n := range names {
			if path.Base(name) == n {
				return nil
			}
		}
		return act(t, name, st)
	}
}

// truncate empties a regular file.
func truncate(t *tree.Root, name string, st fs.FileInfo) error {
	if !st.Mode().IsRegular() || st.Size() == 0 {
		return nil
	}
	return t.WriteFile(name, nil, st.Mode().Perm())
}

// emptyMachineID leaves an empty file, into which systemd writes at boot.
func emptyMachineID(t *tree.Root, name string, st fs.FileInfo) error {
	if st.Mode().IsRegular() {
		if st.Size() == 0 {
			return nil
		}
		if st.Size() < 32 {
			// "uninitialized" asks systemd for its first-boot actions.
			data, err := t.ReadFile(name)
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

// The unit that makes host keys at the first boot. Debian makes them when
// openssh-server is installed; those were removed above.
const (
	keyUnitName = "osbuildkit-ssh-host-keys.service"
	keyUnitDir  = "etc/systemd/system"
	keyUnit     = `# Host keys are not a part of an image: each machine makes its own.
[Unit]
Description=Make the SSH host keys of this machine
Documentation=man:ssh-keygen(1)
ConditionPathExists=|!/etc/ssh/ssh_host_rsa_key
ConditionPathExists=|!/etc/ssh/ssh_host_ecdsa_key
ConditionPathExists=|!/etc/ssh/ssh_host_ed25519_key
After=local-fs.target systemd-random-seed.service
Before=ssh.service ssh.socket sshd.service sshd.socket

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target ssh.service ssh.socket
`
)

// hostKeyUnit makes the unit where sshd and systemd are, and where no unit of
// the distribution does the same.
func hostKeyUnit(t *tree.Root) error {
	for _, need := range []string{"usr/sbin/sshd", "usr/bin/ssh-keygen", "usr/lib/systemd/systemd"} {
		if ok, err := t.Exists(need); err != nil || !ok {
			return err
		}
	}
	for _, dir := range []string{keyUnitDir, "usr/lib/systemd/system"} {
		if found, err := hasKeyUnit(t, dir); err != nil || found {
			return err
		}
	}
	if err := t.MkdirAll(keyUnitDir, 0o755); err != nil {
		return err
	}
	if err := t.ReplaceFile(path.Join(keyUnitDir, keyUnitName), []byte(keyUnit), 0o644, 0, 0); err != nil {
		return err
	}
	for _, by := range []string{"multi-user.target", "ssh.service", "ssh.socket"} {
		dir := path.Join(keyUnitDir, by+".wants")
		if err := t.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		err := t.Symlink("/"+path.Join(keyUnitDir, keyUnitName), path.Join(dir, keyUnitName))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// hasKeyUnit reports whether a unit in dir runs ssh-keygen -A, or is the
// template by which other distributions make each key. Debian 13 has a unit
// that runs at what systemd calls the first boot only: an empty machine-id is
// none (machine-id(5)), and one that is would start systemd-firstboot with its
// questions and enable services by presets. So that unit does not count.
func hasKeyUnit(t *tree.Root, dir string) (bool, error) {
	entries, err := t.ReadDir(dir)
	if missing(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if !strings.Contains(e.Name(), "ssh") || !strings.HasSuffix(e.Name(), ".service") || !e.Type().IsRegular() {
			continue
		}
		data, err := t.ReadFile(path.Join(dir, e.Name()))
		if err != nil {
			return false, err
		}
		text := string(data)
		makes := strings.HasPrefix(e.Name(), "sshd-keygen") || strings.Contains(text, "ssh-keygen -A")
		if makes && !strings.Contains(text, "ConditionFirstBoot=") && e.Name() != keyUnitName {
			return true, nil
		}
	}
	return false, nil
}
