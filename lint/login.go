package lint

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/crypt"
	"github.com/osbuildkit/osbuildkit/manifest"
)

var (
	// accountPackage matches packages that let people in whom no stage names: they
	// make accounts when the system starts, or ask a directory for them.
	accountPackage = regexp.MustCompile(`cloud-init|cloudbase|ignition|afterburn|initial-setup|firstboot|guest-agent|guest-configs|oslogin|walinuxagent|` +
		`ec2-|amazon-|sssd|ldap|freeipa|krb5|winbind|extrausers|radius|libpam-google|userdb|homed|live-config|calamares|installer|tailscale|teleport|open-vm-tools|puppet|salt-minion|ansible`)
	// sshServer matches packages that let people in by a key.
	sshServer = regexp.MustCompile(`^(openssh-server|ssh|dropbear.*|tinysshd|task-ssh-server|lsh-server)$`)
	// noShell matches shells that end at once.
	noShell = regexp.MustCompile(`/(nologin|false|true|sync)$`)
)

// noLogin looks for disks that boot to a login which nobody passes.
func noLogin(p *pass) {
	p.bootDisks(func(d *bootDisk) {
		if !d.known() || !d.boots() || !d.has(kernelPackage) || d.has(accountPackage) || d.entersOtherwise() {
			return
		}
		var keyAt []string
		var keyOf *manifest.Stage
		for _, s := range d.at.Stages {
			if s.Type != usersStage {
				continue
			}
			password, key := entrances(s)
			if password || key != nil && d.has(sshServer) {
				return
			}
			if key != nil {
				keyAt, keyOf = key, s
			}
		}
		if keyOf != nil {
			p.atOption(d.at, keyOf, keyAt, "the key opens nothing, because no package of the tree is an SSH server: add openssh-server to the stage %s", aptStage)
			return
		}
		p.atStage(d.place, d.assembler, "the system boots, and no user can log in: add the stage %s with a \"key\" or a \"password\", or cloud-init to the stage %s", usersStage, aptStage)
	})
}

// entrances says whether a user of the stage has a password, and which option
// gives one a key, nil if none does.
func entrances(s *manifest.Stage) (password bool, key []string) {
	var o struct {
		Users map[string]struct {
			Password *string  `json:"password"`
			Hashed   *bool    `json:"password_hashed"`
			Secret   *string  `json:"password_secret"`
			Shell    string   `json:"shell"`
			Key      string   `json:"key"`
			Keys     []string `json:"keys"`
		} `json:"users"`
	}
	decode(s, &o)
	for _, name := range slices.Sorted(maps.Keys(o.Users)) {
		u := o.Users[name]
		if noShell.MatchString(u.Shell) {
			continue
		}
		hashed := u.Hashed == nil || *u.Hashed
		password = password || u.Secret != nil || u.Password != nil && (!hashed || crypt.Classify(*u.Password) != crypt.Lock)
		switch {
		case u.Key != "":
			key = []string{"users", name, "key"}
		case len(u.Keys) > 0:
			key = []string{"users", name, "keys"}
		}
	}
	return password, key
}

// entersOtherwise reports whether something gives a shell, or a password, to
// somebody whom org.osbuild.users does not name.
func (d *bootDisk) entersOtherwise() bool {
	words := []string{"debug-shell", "debug_shell", "init=", "autologin", "credential"}
	return d.stage("org.osbuild.debug-shell") != nil || hasWord(d.assembler.Options, words) ||
		slices.ContainsFunc(d.at.Stages, func(s *manifest.Stage) bool { return hasWord(s.Options, words) || asksPassword(s.Options) })
}

// asksPassword reports whether the answer to a question of debconf's is a
// password.
func asksPassword(options json.RawMessage) bool {
	var o struct {
		Debconf []string `json:"debconf"`
	}
	_ = json.Unmarshal(options, &o) //nolint:errcheck // as in decode
	return slices.ContainsFunc(o.Debconf, func(line string) bool {
		return strings.Contains(line, "password") || strings.Contains(line, "passwd")
	})
}
