//go:build e2e

package test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// probe is what is asked on each boot: one command for each name, by root.
const probe = `
part() { name=$1; shift; echo "== $name"; "$@" 2>&1 < /dev/null; echo "-- $?"; }
part state systemctl is-system-running --wait
part failed systemctl --failed --no-legend --plain
part why sh -c 'for u in $(systemctl --failed --no-legend --plain | cut -d" " -f1); do journalctl --quiet --no-pager -b -n 40 -u "$u"; done'
part journal journalctl --quiet --no-pager -b -p err -o json --output-fields=SYSLOG_IDENTIFIER,MESSAGE
part name sh -c 'getent hosts "$(hostname)"'
part short sh -c 'getent hosts "$(hostname -s)"'
part localhost getent ahostsv4 localhost
part dns getent hosts ` + archiveName + `
part sudo sudo -u nobody true
part rootsize findmnt -bnro SIZE /
part rootdevice sh -c 'blockdev --getsize64 "$(findmnt -nvro SOURCE /)"'
part grow journalctl --quiet --no-pager -b -u 'osbuildkit-grow@*' -o cat
part machineid cat /etc/machine-id
part hostkey ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
part certificate openssl x509 -in /etc/ssl/certs/ssl-cert-snakeoil.pem -noout -fingerprint
part certificatelink sh -c 'readlink -e /etc/ssl/certs/*.0 | grep -c snakeoil'
part initiator sh -c 'systemctl start iscsid && grep ^InitiatorName= /etc/iscsi/initiatorname.iscsi'
part iscsi sh -c 'iscsiadm -m node; test $? = 21'
part postgres runuser -u postgres -- psql -Atc 'select 6*7' -c 'show ssl'
part mail postconf -h myhostname
part chrony chronyc -n tracking
part log sh -c 'logger a line of the test; for i in 1 2 3 4 5 6; do grep -q "a line of the test" /var/log/syslog && exit; sleep 1; done; exit 1'
part active systemctl is-active nginx apache2 postgresql postfix chrony rsyslog ssh unattended-upgrades systemd-resolved systemd-networkd
`

// growProbe has file systems grow that are on partitions of files: each kind in each
// table. It runs the program twice: the second time there is nothing to do, but in an
// encrypted volume, which is as large as its partition when it is unlocked again.
const growProbe = `
grow() (
	set -e
	cd /root
	truncate -s 500M disk
	printf 'label: %s\nstart=2048,size=20480\nstart=22528\n' "$1" | sfdisk -q disk
	loop=$(losetup -fP --show disk)
	udevadm settle
	device=${loop}p2 kind=$2
	if [ "$2" = luks ]; then
		echo secret > secret
		cryptsetup -q luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$device" secret
		cryptsetup open --key-file secret "$device" made
		device=/dev/mapper/made kind=ext4
	fi
	mkfs."$kind" -q "$device"
	mkdir -p /srv/made
	mount "$device" /srv/made
	truncate -s 900M disk
	losetup -c "$loop"
	/usr/libexec/osbuildkit-grow /srv/made
	if [ "$2" = luks ]; then
		umount /srv/made
		cryptsetup close made
		cryptsetup open --key-file secret "${loop}p2" made
		mount "$device" /srv/made
	fi
	/usr/libexec/osbuildkit-grow /srv/made
	findmnt -bnro SIZE /srv/made
	umount /srv/made
	case $kind in
	ext4) e2fsck -fn "$device" ;;
	xfs) xfs_repair -n "$device" ;;
	btrfs) btrfs check "$device" ;;
	esac
	[ "$2" != luks ] || cryptsetup close made
	losetup -d "$loop"
	sfdisk --verify disk
	rm disk
)
for table in gpt dos; do
	for kind in ext4 xfs btrfs luks; do
		part "grow-$table-$kind" grow "$table" "$kind"
	done
done
`

// checkGrown checks what growProbe has said.
func checkGrown(t *testing.T, got map[string]string) {
	t.Helper()
	for _, table := range []string{"gpt", "dos"} {
		for _, kind := range []string{"ext4", "xfs", "btrfs", "luks"} {
			said := got["grow-"+table+"-"+kind]
			grown := regexp.MustCompile(`has grown by (39[89]|40[01]) MiB`).FindAllString(said, -1)
			size := regexp.MustCompile(`(?m)^[789]\d{8}$`).FindString(said)
			if len(grown) != 1 || size == "" || strings.Contains(said, "exit code") {
				t.Errorf("%s in a %s table: it said\n%s", kind, table, said)
			}
		}
	}
}

// probeParts reads what a script of parts has said.
func probeParts(t *testing.T, said string) map[string]string {
	t.Helper()
	out := map[string]string{}
	name, text := "", ""
	for line := range strings.Lines(said) {
		switch rest, ok := strings.CutPrefix(line, "== "); {
		case ok:
			name, text = strings.TrimSpace(rest), ""
		case strings.HasPrefix(line, "-- "):
			if code := strings.TrimSpace(line[3:]); code != "0" {
				text += "exit code " + code + "\n"
			}
			out[name] = strings.TrimSpace(text)
		default:
			text += line
		}
	}
	return out
}

// tolerated lists the errors that a journal may have, each with its reason.
var tolerated = []struct{ who, text, reason string }{
	// systemd looks for a channel of the host by which ssh could come in, and
	// Debian's kernel has the driver for one, but qemu was given none.
	{"systemd-ssh-generator", `^Failed to query local AF_VSOCK CID: `, "the machine has no such channel"},
	{"(sd-exec-", `/systemd-ssh-generator failed with exit status 1`, "the same, told by the manager"},
	// The kernel waits some milliseconds for a tick, and some seconds for a thread.
	{"kernel", `^watchdog: BUG: soft lockup - CPU#\d+ stuck for `, "the emulator did not get the processor for so long"},
	{"kernel", `^\.\.MP-BIOS bug: 8254 timer not connected to IO-APIC$`, "the emulator did not get the processor for so long"},
}

// journalErrors returns the messages of a journal that are not tolerated.
func journalErrors(t *testing.T, journal string) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(journal) {
		var m struct {
			Who  string `json:"SYSLOG_IDENTIFIER"`
			Text any    `json:"MESSAGE"`
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Errorf("the journal has %q: %v", line, err)
			continue
		}
		text := fmt.Sprint(m.Text)
		known := false
		for _, e := range tolerated {
			known = known || e.who == m.Who && regexp.MustCompile(e.text).MatchString(text)
		}
		if !known {
			out = append(out, m.Who+": "+text)
		}
	}
	return out
}

// checkProbe checks what a boot must have.
func checkProbe(t *testing.T, got map[string]string) {
	t.Helper()
	for name, want := range map[string]string{
		"state":           `^running$`,
		"failed":          `^$`,
		"name":            `^127\.0\.1\.1 +machine\.example\.test machine$`,
		"short":           `^127\.0\.1\.1 +machine\.example\.test machine$`,
		"localhost":       `^127\.0\.0\.1 +STREAM`,
		"dns":             `^10\.0\.2\.2 +archive\.example\.test$`,
		"sudo":            `^$`,
		"machineid":       `^[0-9a-f]{32}$`,
		"hostkey":         `^256 SHA256:\S+ .*\(ED25519\)$`,
		"certificate":     `^(?i:sha1 fingerprint)=[0-9A-F:]{59}$`,
		"certificatelink": `^1$`,
		"initiator":       `^InitiatorName=iqn\.[0-9-]+\.org\.debian:\S+$`,
		"iscsi":           `No records found`,
		"postgres":        `^42\non$`,
		"mail":            `^machine\.example\.test$`,
		"chrony":          `(?m)^Stratum`,
		"log":             `^$`,
		"active":          `^active(\nactive){9}$`,
	} {
		if !regexp.MustCompile(want).MatchString(got[name]) {
			t.Errorf("%s: %q is not like %s", name, got[name], want)
		}
	}
	for _, e := range journalErrors(t, got["journal"]) {
		t.Errorf("an error in the journal: %s", e)
	}
	fs, err1 := strconv.ParseInt(got["rootsize"], 10, 64)
	device, err2 := strconv.ParseInt(got["rootdevice"], 10, 64)
	if err1 != nil || err2 != nil || fs < machineDisk*9/10-(200<<20) || device < machineDisk-(200<<20) {
		t.Errorf("the root has %q bytes on a device of %q; the disk has %d\n%s", got["rootsize"], got["rootdevice"], int64(machineDisk), got["grow"])
	}
}

// checkServices talks to the services through the forwarded ports.
func (g *guest) checkServices() {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 2*time.Minute)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{Proxy: nil, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for address, want := range map[string]string{
		fmt.Sprintf("http://127.0.0.1:%d/", g.ports[80]):    "nginx",
		fmt.Sprintf("https://127.0.0.1:%d/", g.ports[8443]): "Apache",
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			g.t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			g.t.Errorf("%s: %v", address, err)
			continue
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(res.Header.Get("Server"), want) || len(body) == 0 {
			g.t.Errorf("%s: %s of %q, %d bytes, %v", address, res.Status, res.Header.Get("Server"), len(body), err)
		}
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", g.ports[25]))
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute)) // never fails
	if banner, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(banner, "220 "+machineName+" ESMTP") {
		g.t.Errorf("the mail server says %q, %v", banner, err)
	}
}

// TestMachine builds a machine with many services, boots it on a disk that is
// larger than its image, asks everything that runs, and brings it up to date from
// a live archive. With OSBUILDKIT_MACHINE=all it boots it again and asks once more,
// does all that with UEFI too, and compares two machines of one image.
func TestMachine(t *testing.T) {
	need(t, "qemu-system-x86_64", "qemu-img", "ssh", "ssh-keygen", "unshare", "dpkg-deb")
	key := machineKey(t)
	all := os.Getenv("OSBUILDKIT_MACHINE") == "all"
	for _, firmware := range []string{"bios", "uefi"} {
		if firmware == "uefi" && !all {
			continue
		}
		t.Run(firmware, func(t *testing.T) {
			script := probe
			if firmware == "uefi" {
				script += growProbe
			}
			dir := t.TempDir()
			p := build(t, "-o", dir, manifestFile(t, "machine.json", machineManifest(t, key, firmware)))
			t.Logf("built in %.1f s", p.took.Seconds())
			image := filepath.Join(dir, "disk.img")
			first := machineLife(t, image, firmware, key, script)
			if firmware == "bios" && all {
				machineTwin(t, image, firmware, key, first)
			}
		})
	}
}

// machineLife boots a machine, twice if all is asked for, and returns what it said
// at first.
func machineLife(t *testing.T, image, firmware, key, script string) map[string]string {
	t.Helper()
	nameserver := startNames(t, archiveName, hostAddress)
	var g *guest
	var said, boot string
	var first map[string]string
	for try := 1; ; try++ {
		begin := time.Now()
		g = startGuest(t, guestDisk(t, image, machineDisk), firmware, key, nameserver, 22, 25, 80, 8443)
		said, boot = g.run(script, "")
		first = probeParts(t, said)
		t.Logf("first boot: %.1f s", time.Since(begin).Seconds())
		if first["failed"] == "" || try == bootTries {
			break
		}
		// As for bootTries: a starved emulator, or the image.
		t.Logf("once more, as these have failed: %s\n%s", first["failed"], first["why"])
		g.kill()
	}
	checkProbe(t, first)
	if script != probe {
		checkGrown(t, first)
	}
	g.checkServices()
	if t.Failed() {
		t.Logf("it said:\n%s", said)
	}
	g.upgrade(t, filepath.Dir(image))
	if os.Getenv("OSBUILDKIT_MACHINE") != "all" {
		return first
	}
	begin := time.Now()
	_, _ = g.run("systemd-run --quiet --on-active=1 systemctl reboot", "")
	said, _ = g.run(probe+"part whatis whatis sudo\npart end systemd-run --quiet --on-active=1 systemctl poweroff\n", boot)
	second := probeParts(t, said)
	t.Logf("second boot: %.1f s", time.Since(begin).Seconds())
	checkProbe(t, second)
	if !strings.HasPrefix(second["whatis"], "sudo (8)") {
		t.Errorf("whatis: %q", second["whatis"])
	}
	for _, name := range identities {
		if first[name] != second[name] {
			t.Errorf("%s was %q and is %q at the second boot", name, first[name], second[name])
		}
	}
	if t.Failed() {
		t.Logf("it said:\n%s", said)
	}
	g.end()
	return first
}

// identities are what differs between two machines.
var identities = []string{"machineid", "hostkey", "certificate", "initiator"}

// machineTwin boots a second machine of an image.
func machineTwin(t *testing.T, image, firmware, key string, first map[string]string) {
	t.Helper()
	g := startGuest(t, guestDisk(t, image, machineDisk), firmware, key, startNames(t, archiveName, hostAddress), 22)
	said, _ := g.run(probe, "")
	twin := probeParts(t, said)
	for _, name := range identities {
		if twin[name] == "" || twin[name] == first[name] {
			t.Errorf("%s: %q on one machine and %q on another", name, first[name], twin[name])
		}
	}
}
