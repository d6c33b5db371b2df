//go:build e2e

package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recipeImage is an image of docs/recipes.md: several recipes in one machine.
type recipeImage struct {
	name string
	net  guestNet
	// usual says that it is booted always, and not only if all are.
	usual bool
	// script are parts of a script for the machine, and want what they say.
	script string
	want   map[string]string
}

// recipeDisk is what a recipe's machine has of a disk, in bytes: more than its
// image has.
const recipeDisk = 4 << 30

// commonScript is asked of every recipe's machine.
const commonScript = `
part() { name=$1; shift; echo "== $name"; "$@" 2>&1 < /dev/null; echo "-- $?"; }
part state systemctl is-system-running --wait
part failed systemctl --failed --no-legend --plain
part why sh -c 'for u in $(systemctl --failed --no-legend --plain | cut -d" " -f1); do journalctl --quiet --no-pager -b -n 40 -u "$u"; done'
part who sh -c 'echo "$SUDO_USER"'
part sudo sudo -u nobody true
part name sh -c 'getent hosts "$(hostname)"'
part fstype findmnt -nro FSTYPE /
part rootsize findmnt -bnro SIZE /
part table sh -c 'sfdisk --dump /dev/vda | sed -n "s/^label: //p"'
part grow journalctl --quiet --no-pager -b -u 'osbuildkit-grow@*' -o cat
`

// lanWant is what a machine with the address and the VLAN of the recipes says.
var lanWant = map[string]string{
	"address": `^192\.0\.2\.10/24$`,
	"route":   `^default via 192\.0\.2\.1 `,
	"vlan":    `(?s)^198\.51\.100\.10/24\n.*vlan protocol 802\.1Q id 20 `,
	"dns":     `192\.0\.2\.3`,
}

const lanScript = `
lan=$(basename $(dirname $(grep -l 52:54:00:12:34:56 /sys/class/net/en*/address)))
addresses() { ip -4 -o addr show dev "$1" | awk '{ print $4 }'; }
part address addresses "$lan"
part route ip -4 route show default dev "$lan"
part vlan sh -c 'ip -4 -o addr show dev vlan20 | awk "{ print \$4 }"; ip -d link show dev vlan20'
`

// lan is a network on which nobody gives addresses but the recipe.
var lan = guestNet{options: "net=192.0.2.0/24,host=192.0.2.1,dns=192.0.2.3,dhcpstart=192.0.2.200", address: "192.0.2.10"}

func recipeImages() []recipeImage {
	twoCards := lan
	twoCards.second = true
	return []recipeImage{
		{name: "server", usual: true, script: `
part groups id -nG admin
part motd cat /etc/motd
part report sh -c '/usr/local/bin/report / | wc -l'
part site stat -c '%a %U:%G %Y' /etc/site/site.conf
part sudoers stat -c '%a %U:%G' /etc/sudoers.d/admin
part address sh -c 'ip -4 -o addr | grep dynamic | awk "{ print \$4 }"'
part zone date +%Z
part locale sh -c 'locale -a | grep -i de_DE; . /etc/default/locale; echo $LANG; LC_ALL=de_DE.UTF-8 date -d 2026-01-06 +%A'
part swap swapon --noheadings --raw --show=TYPE,SIZE
part data findmnt -nro FSTYPE,OPTIONS /srv
part upgrades sh -c 'apt-config dump | grep -E "Periodic::Unattended-Upgrade |Automatic-Reboot-Time "; systemctl is-enabled apt-daily-upgrade.timer unattended-upgrades'
`, want: map[string]string{
			"name":     `^127\.0\.1\.1 +web1\.example\.org web1$`,
			"fstype":   `^ext4$`,
			"table":    `^gpt$`,
			"groups":   `\badm\b`,
			"motd":     `^Welcome to web1\.$`,
			"report":   `^2$`,
			"site":     `^640 root:adm \d+$`,
			"sudoers":  `^440 root:root$`,
			"address":  `^10\.0\.2\.15/24$`,
			"zone":     `^CES?T$`,
			"locale":   `^de_DE\.utf8\nde_DE\.UTF-8\nDienstag$`,
			"swap":     `^partition 256M$`,
			"data":     `^ext4 rw,nosuid,nodev,`,
			"upgrades": `(?s)^APT::Periodic::Unattended-Upgrade "1";\nUnattended-Upgrade::Automatic-Reboot-Time "04:00";\nenabled\nenabled$`,
		}},
		{name: "networkd", net: lan, script: lanScript + `
part dns resolvectl dns
part podman sh -c '
	mkdir -p /var/tmp/box && for f in /usr/bin/uname $(ldd /usr/bin/uname | grep -o "/[^ ]*"); do cp -L --parents "$f" /var/tmp/box; done
	tar -C /var/tmp/box -c . | podman import --quiet - box > /dev/null && podman run --rm --network none box /usr/bin/uname -s'
`, want: merged(lanWant, map[string]string{
			"name":   `^127\.0\.1\.1 +net1\.example\.org net1$`,
			"fstype": `^xfs$`,
			"table":  `^dos$`,
			"podman": `(?m)^Linux$`,
		})},
		{name: "networkmanager", net: twoCards, usual: true, script: lanScript + `
part dns cat /etc/resolv.conf
part dhcp nmcli -g GENERAL.STATE,IP4.ADDRESS connection show dhcp
`, want: merged(lanWant, map[string]string{
			"name":   `^127\.0\.1\.1 +net2\.example\.org net2$`,
			"fstype": `^btrfs$`,
			"table":  `^dos$`,
			"dhcp":   `^activated\n10\.0\.2\.15/24$`,
		})},
		{name: "cloud", usual: true, script: `
part status cloud-init status --wait
part long cloud-init status --long
part source cloud-id
part host hostname
part motd cat /etc/motd
`, want: map[string]string{
			"name":   `^127\.0\.1\.1 +cloud1`,
			"fstype": `^ext4$`,
			"table":  `^gpt$`,
			// With an exit code of 2 if cloud-init has warned of something.
			"status": `(?m)^status: done$`,
			"source": `^nocloud$`,
			"host":   `^cloud1$`,
			"motd":   `^Set up by cloud-init\.$`,
		}},
	}
}

func merged(maps ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range maps {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

// TestRecipes builds the images of docs/recipes.md as the page says, boots them on
// disks that are larger, and looks at what each recipe promises: three of them, and
// with OSBUILDKIT_BOOTS=all in the environment all.
func TestRecipes(t *testing.T) {
	need(t, "qemu-system-x86_64", "qemu-img", "ssh", "ssh-keygen", "unshare")
	key := machineKey(t)
	public := strings.TrimSpace(string(readFile(t, key+".pub")))
	all := os.Getenv("OSBUILDKIT_BOOTS") == "all"
	for _, r := range recipeImages() {
		if !all && !r.usual {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			out := t.TempDir()
			p := build(t, "--build-arg", "SSH_KEY="+public, "-o", out, "../examples/recipes/"+r.name+".json")
			begin := time.Now()
			disk := guestDisk(t, filepath.Join(out, r.name+".qcow2"), recipeDisk)
			g := startGuestOn(t, r.net, disk, "bios", key, "127.0.0.1", 22)
			said, _ := g.run(commonScript+r.script, "")
			t.Logf("built in %.1f s, answered after %.1f s", p.took.Seconds(), time.Since(begin).Seconds())
			r.check(t, probeParts(t, said))
		})
	}
}

// check compares what a machine has said with what it should.
func (r *recipeImage) check(t *testing.T, got map[string]string) {
	t.Helper()
	want := merged(map[string]string{"state": `^running$`, "failed": `^$`, "who": `^admin$`, "sudo": `^$`}, r.want)
	for name, form := range want {
		if !regexp.MustCompile(form).MatchString(got[name]) {
			t.Errorf("%s: %q is not like %s", name, got[name], form)
		}
	}
	if size, err := strconv.ParseInt(got["rootsize"], 10, 64); err != nil || size < recipeDisk*8/10-(600<<20) {
		t.Errorf("the root has %q bytes, and its disk %d\n%s", got["rootsize"], int64(recipeDisk), got["grow"])
	}
	if got["long"] != "" {
		t.Logf("cloud-init: %s", got["long"])
	}
	if t.Failed() {
		t.Logf("units that failed: %s", got["why"])
	}
}
