package packages

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/tree"
)

// firstBootUnit is a unit of systemd that makes what identities has taken
// away. It does nothing on a machine that has the file, so it runs when it is
// needed, be that at the first boot or after someone has removed the file.
type firstBootUnit struct {
	name string
	// needs lists the files without which the unit is of no use.
	needs []string
	// instead reports whether the distribution has a unit that does the same.
	instead func(t *tree.Root) (bool, error)
	// wantedBy lists the units that start this one.
	wantedBy []string
	text     string
}

const (
	unitDir     = "etc/systemd/system"
	systemdFile = "usr/lib/systemd/systemd"

	keyUnitName = "osbuildkit-ssh-host-keys.service"
	certUnit    = "osbuildkit-ssl-cert.service"
	nvmeUnit    = "osbuildkit-nvme-host.service"
	hostIDUnit  = "osbuildkit-hostid.service"
	popconUnit  = "osbuildkit-popularity-contest.service"
	manualUnit  = "osbuildkit-man-db.service"
)

// early is the head of a unit that runs before all services but those of the
// early boot, whichever of them reads the file.
const early = `DefaultDependencies=no
Conflicts=shutdown.target
After=local-fs.target systemd-tmpfiles-setup.service systemd-random-seed.service
Before=sysinit.target shutdown.target
`

// keyUnit makes host keys at the first boot. Debian makes them when
// openssh-server is installed.
const keyUnit = `# Host keys are not a part of an image: each machine makes its own.
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

// firstBootUnits lists the units. Each does what the package's own script did
// at the installation.
var firstBootUnits = []firstBootUnit{
	{
		name: keyUnitName, needs: []string{"usr/sbin/sshd", "usr/bin/ssh-keygen"}, instead: hasKeyUnit,
		wantedBy: []string{"multi-user.target", "ssh.service", "ssh.socket"},
		text:     keyUnit,
	},
	earlyUnit(certUnit, []string{"usr/sbin/make-ssl-cert", "usr/bin/openssl"},
		`# A key is not a part of an image: each machine makes its own.
[Unit]
Description=Make the snakeoil certificate of this machine
Documentation=man:make-ssl-cert(8)
ConditionPathExists=|!/etc/ssl/private/ssl-cert-snakeoil.key
ConditionPathExists=|!/etc/ssl/certs/ssl-cert-snakeoil.pem
`, "/usr/sbin/make-ssl-cert generate-default-snakeoil"),
	earlyUnit("osbuildkit-dropbear-host-keys.service", []string{"usr/sbin/dropbear", "usr/bin/dropbearkey", "etc/dropbear"},
		`# Host keys are not a part of an image: each machine makes its own.
[Unit]
Description=Make the host keys of dropbear of this machine
Documentation=man:dropbearkey(1)
ConditionPathExists=|!/etc/dropbear/dropbear_rsa_host_key
ConditionPathExists=|!/etc/dropbear/dropbear_ecdsa_host_key
ConditionPathExists=|!/etc/dropbear/dropbear_ed25519_host_key
`,
		"/bin/sh -c 'test -e /etc/dropbear/dropbear_rsa_host_key || dropbearkey -t rsa -f /etc/dropbear/dropbear_rsa_host_key'",
		"/bin/sh -c 'test -e /etc/dropbear/dropbear_ecdsa_host_key || dropbearkey -t ecdsa -f /etc/dropbear/dropbear_ecdsa_host_key'",
		"/bin/sh -c 'test -e /etc/dropbear/dropbear_ed25519_host_key || dropbearkey -t ed25519 -f /etc/dropbear/dropbear_ed25519_host_key'"),
	earlyUnit("osbuildkit-rndc-key.service", []string{"usr/sbin/rndc-confgen", "usr/sbin/named", "etc/bind/named.conf"},
		`# A key is not a part of an image: each machine makes its own.
[Unit]
Description=Make the key with which rndc controls the name server of this machine
Documentation=man:rndc-confgen(8)
ConditionPathExists=!/etc/bind/rndc.key
ConditionPathExists=!/etc/bind/rndc.conf
`,
		"/usr/sbin/rndc-confgen -a -c /etc/bind/rndc.key -u bind",
		"/bin/chmod 0640 /etc/bind/rndc.key"),
	earlyUnit("osbuildkit-nsd-keys.service", []string{"usr/sbin/nsd-control-setup", "etc/nsd"},
		`# A key is not a part of an image: each machine makes its own.
[Unit]
Description=Make the keys with which nsd-control controls the name server of this machine
Documentation=man:nsd-control(8)
ConditionPathExists=|!/etc/nsd/nsd_server.key
ConditionPathExists=|!/etc/nsd/nsd_control.key
`, "/usr/sbin/nsd-control-setup"),
	earlyUnit("osbuildkit-xrdp-keys.service", []string{"usr/bin/xrdp-keygen", "etc/xrdp"},
		`# A key is not a part of an image: each machine makes its own.
[Unit]
Description=Make the keys of the remote desktop server of this machine
Documentation=man:xrdp-keygen(8)
ConditionPathExists=!/etc/xrdp/rsakeys.ini
`,
		"/bin/sh -c 'umask 077 && xrdp-keygen xrdp auto'",
		"-/bin/chown xrdp /etc/xrdp/rsakeys.ini"),
	earlyUnit(nvmeUnit, []string{"usr/sbin/nvme", "etc/nvme"},
		`# Its name is not a part of an image: each machine makes its own.
[Unit]
Description=Make the name of this machine for NVMe over fabrics
Documentation=man:nvme-gen-hostnqn(1)
ConditionFileNotEmpty=|!/etc/nvme/hostnqn
ConditionFileNotEmpty=|!/etc/nvme/hostid
`,
		"/bin/sh -c 'test -s /etc/nvme/hostnqn || nvme gen-hostnqn > /etc/nvme/hostnqn'",
		"/bin/sh -c 'test -s /etc/nvme/hostid || cat /proc/sys/kernel/random/uuid > /etc/nvme/hostid'"),
	{
		// ZFS looks for its pools before local file systems are mounted.
		name: hostIDUnit, needs: []string{"usr/sbin/zgenhostid"}, wantedBy: []string{"sysinit.target"},
		text: `# The number is not a part of an image: each machine makes its own.
[Unit]
Description=Make the number of this machine for ZFS
Documentation=man:zgenhostid(8)
ConditionPathExists=!/etc/hostid
DefaultDependencies=no
Conflicts=shutdown.target
After=systemd-remount-fs.service
Before=zfs-import-cache.service zfs-import-scan.service zfs-import.target sysinit.target shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/zgenhostid

[Install]
WantedBy=sysinit.target
`,
	},
	{
		name: popconUnit, needs: []string{"usr/sbin/popularity-contest", "usr/sbin/dpkg-reconfigure"}, wantedBy: []string{"multi-user.target"},
		text: `# The number is not a part of an image: each machine makes its own.
[Unit]
Description=Make the number of this machine for popularity-contest
Documentation=man:popularity-contest(8)
ConditionPathExists=!/etc/cron.d/popularity-contest
After=local-fs.target systemd-random-seed.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/dpkg-reconfigure --frontend=noninteractive popularity-contest

[Install]
WantedBy=multi-user.target
`,
	},
	manualIndex("man-db.service"),
	manualIndex("man-db-cache-update.service"), // Fedora's name for it
}

// earlyUnit makes a unit out of its head and its commands.
func earlyUnit(name string, needs []string, head string, commands ...string) firstBootUnit {
	var b strings.Builder
	b.WriteString(head + early + "\n[Service]\nType=oneshot\nRemainAfterExit=yes\n")
	for _, c := range commands {
		b.WriteString("ExecStart=" + c + "\n")
	}
	b.WriteString("\n[Install]\nWantedBy=sysinit.target\n")
	return firstBootUnit{name: name, needs: needs, wantedBy: []string{"sysinit.target"}, text: b.String()}
}

// manualIndex makes the unit that has the index of the manual pages made. The
// distribution's unit for that runs once a day, or after an installation.
func manualIndex(service string) firstBootUnit {
	return firstBootUnit{
		name: manualUnit, needs: []string{"usr/bin/mandb", "usr/lib/systemd/system/" + service}, wantedBy: []string{"multi-user.target"},
		text: `# The index holds times, which the files of an image do not keep.
[Unit]
Description=Have the index of the manual pages made
Documentation=man:mandb(8)
ConditionPathExists=!/var/cache/man/index.db
After=local-fs.target

[Service]
Type=oneshot
ExecStart=/usr/bin/systemctl start --no-block ` + service + `

[Install]
WantedBy=multi-user.target
`,
	}
}

// remade reports whether the tree gets the unit, or has another in its place.
func remade(t *tree.Root, name string) (bool, error) {
	for i := range firstBootUnits {
		if u := &firstBootUnits[i]; u.name == name {
			if ok, err := u.usable(t); err != nil || ok {
				return ok, err
			}
		}
	}
	return false, nil
}

// usable reports whether all that the unit needs is there.
func (u *firstBootUnit) usable(t *tree.Root) (bool, error) {
	for _, need := range append([]string{systemdFile}, u.needs...) {
		if ok, err := t.Exists(need); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// install makes the unit where it is of use, and where no unit of the
// distribution does the same.
func (u *firstBootUnit) install(t *tree.Root) error {
	if ok, err := u.usable(t); err != nil || !ok {
		return err
	}
	if u.instead != nil {
		if found, err := u.instead(t); err != nil || found {
			return err
		}
	}
	if err := t.MkdirAll(unitDir, 0o755); err != nil {
		return err
	}
	if err := t.ReplaceFile(path.Join(unitDir, u.name), []byte(u.text), 0o644, 0, 0); err != nil {
		return err
	}
	for _, by := range u.wantedBy {
		dir := path.Join(unitDir, by+".wants")
		if err := t.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		err := t.Symlink("/"+path.Join(unitDir, u.name), path.Join(dir, u.name))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// hasKeyUnit reports whether a unit of the tree runs ssh-keygen -A, or is the
// template by which other distributions make each key. Debian 13 has a unit
// that runs at what systemd calls the first boot only: an empty machine-id is
// none (machine-id(5)), and one that is would start systemd-firstboot with its
// questions and enable services by presets. So that unit does not count.
func hasKeyUnit(t *tree.Root) (bool, error) {
	for _, dir := range []string{unitDir, "usr/lib/systemd/system"} {
		entries, err := t.ReadDir(dir)
		if missing(err) {
			continue
		}
		if err != nil {
			return false, err
		}
		for _, e := range entries {
			if !strings.Contains(e.Name(), "ssh") || !strings.HasSuffix(e.Name(), ".service") || !e.Type().IsRegular() {
				continue
			}
			data, err := t.ReadText(path.Join(dir, e.Name()), tree.MaxUnit)
			if err != nil {
				return false, err
			}
			text := string(data)
			makes := strings.HasPrefix(e.Name(), "sshd-keygen") || strings.Contains(text, "ssh-keygen -A")
			if makes && !strings.Contains(text, "ConditionFirstBoot=") && e.Name() != keyUnitName {
				return true, nil
			}
		}
	}
	return false, nil
}
