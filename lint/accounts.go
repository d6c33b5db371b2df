package lint

import (
	"slices"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/crypt"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// Stages with passwords.
const (
	usersStage     = "org.osbuild.users"
	kickstartStage = "org.osbuild.kickstart"
	luksFormat     = "org.osbuild.luks2.format"
	luksRemoveKey  = "org.osbuild.luks2.remove-key"
)

// secret is a password in the options of a stage.
type secret struct {
	path []string
	kind crypt.Kind
}

// passwords lists the passwords of users that a stage sets.
func passwords(s *manifest.Stage) []secret {
	var out []secret
	switch s.Type {
	case usersStage, kickstartStage:
		var o struct {
			Users map[string]struct {
				Password *string `json:"password"`
				Hashed   *bool   `json:"password_hashed"`
			} `json:"users"`
			RootPW struct {
				Plaintext bool   `json:"plaintext"`
				Password  string `json:"password"`
			} `json:"rootpw"`
		}
		decode(s, &o)
		for name, u := range o.Users {
			if u.Password == nil {
				continue
			}
			kind := crypt.Classify(*u.Password)
			if kind == crypt.Ambiguous && (u.Hashed == nil || !strings.HasPrefix(*u.Password, "$")) {
				kind = crypt.Weak // an installer takes it as it is
			}
			if u.Hashed != nil && kind != crypt.Empty && !*u.Hashed {
				kind = crypt.Plain
			}
			out = append(out, secret{[]string{"users", name, "password"}, kind})
		}
		if o.RootPW.Password != "" && s.Type == kickstartStage {
			kind := crypt.Plain
			if !o.RootPW.Plaintext {
				kind = crypt.Classify(o.RootPW.Password)
			}
			if kind == crypt.Ambiguous {
				kind = crypt.Weak
			}
			out = append(out, secret{[]string{"rootpw", "password"}, kind})
		}
	case aptStage:
		var o struct {
			Debconf []string `json:"debconf"`
		}
		decode(s, &o)
		for i, line := range o.Debconf {
			// PACKAGE QUESTION TYPE VALUE; an empty value is no password here.
			if f := strings.Fields(line); len(f) > 3 && f[2] == "password" {
				kind := crypt.Classify(f[3])
				if kind == crypt.Ambiguous {
					kind = crypt.Plain
				}
				out = append(out, secret{[]string{"debconf", strconv.Itoa(i)}, kind})
			}
		}
	}
	return out
}

func plainTextPassword(p *pass) {
	removed := map[string]bool{}
	p.stages(func(_ *manifest.Pipeline, s *manifest.Stage) {
		if s.Type == luksRemoveKey {
			removed[passphrase(s)] = true
		}
	})
	p.stages(func(at *manifest.Pipeline, s *manifest.Stage) {
		for _, found := range passwords(s) {
			if found.kind != crypt.Plain {
				continue
			}
			if s.Type == aptStage {
				p.atOption(at, s, found.path, "the password stands here, and in the image's debconf database, for everyone to read: set it when the system is installed or first booted")
				continue
			}
			secret := ""
			if s.Type == usersStage {
				secret = ", or name a secret of the build in \"password_secret\""
			}
			p.atOption(at, s, found.path, "the password stands here for everyone to read: give what \"openssl passwd -6\" prints for it%s", secret)
		}
		switch s.Type {
		case luksFormat:
			// One that a later stage takes away again protects nothing.
			if text := passphrase(s); text != "" && !removed[text] {
				p.atOption(at, s, []string{"passphrase"}, "the passphrase stands here for everyone to read: remove it with %s once the disk has another key", luksRemoveKey)
			}
		case kickstartStage:
			var o struct {
				Autopart struct {
					Passphrase string `json:"passphrase"`
				} `json:"autopart"`
			}
			if decode(s, &o); o.Autopart.Passphrase != "" {
				p.atOption(at, s, []string{"autopart", "passphrase"}, "the passphrase stands here for everyone to read: let the installer ask for it")
			}
		}
	})
}

func passphrase(s *manifest.Stage) string {
	var o struct {
		Passphrase string `json:"passphrase"`
	}
	decode(s, &o)
	return o.Passphrase
}

func weakPasswordHash(p *pass) {
	p.stages(func(at *manifest.Pipeline, s *manifest.Stage) {
		for _, found := range passwords(s) {
			if found.kind == crypt.Weak {
				p.atOption(at, s, found.path, "the password is hashed in a way that is broken, or not at all: give what \"openssl passwd -6\" prints for it")
			}
		}
	})
}

func loginWithoutPassword(p *pass) {
	const shell = "anyone at the console gets a shell as root without a password: remove it from an image that leaves your hands"
	p.stages(func(at *manifest.Pipeline, s *manifest.Stage) {
		switch s.Type {
		case usersStage:
			for _, found := range passwords(s) {
				if found.kind == crypt.Empty {
					p.atOption(at, s, found.path, "anyone can log in as %s without a password: leave out \"password\", and give a \"key\"", quote(found.path[1]))
				}
			}
		case "org.osbuild.debug-shell":
			p.atStage(at, s, shell)
		case "org.osbuild.systemd":
			var o struct {
				Enabled []string `json:"enabled_services"`
			}
			decode(s, &o)
			for _, unit := range []string{"debug-shell", "debug-shell.service"} {
				if i := slices.Index(o.Enabled, unit); i >= 0 {
					p.atOption(at, s, []string{"enabled_services", strconv.Itoa(i)}, shell)
				}
			}
		}
	})
}
