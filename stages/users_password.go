package stages

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/crypt"
	"github.com/osbuildkit/osbuildkit/module"
)

// secretName is the form of the name of a secret.
var secretName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// userSecrets lists the secrets that hold passwords of users.
func userSecrets(options json.RawMessage) []module.Secret {
	var o UsersOptions
	if json.Unmarshal(options, &o) != nil {
		return nil
	}
	var out []module.Secret
	for _, name := range slices.Sorted(maps.Keys(o.Users)) {
		if s := o.Users[name].PasswordSecret; s != nil {
			out = append(out, module.Secret{Name: *s, Pointer: "/users/" + escapePointer(name) + "/password_secret"})
		}
	}
	return out
}

// plainPasswords lists the pointers of the passwords that are not hashed.
func plainPasswords(options json.RawMessage) []string {
	var o UsersOptions
	if json.Unmarshal(options, &o) != nil {
		return nil
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(o.Users)) {
		if u := o.Users[name]; u.isPlain() {
			out = append(out, "/users/"+escapePointer(name)+"/password")
		}
	}
	return out
}

// isPlain reports whether the options have a password that is not hashed.
func (u *User) isPlain() bool {
	if u.Password == nil {
		return false
	}
	kind, err := u.passwordKind(*u.Password)
	return err == nil && kind == crypt.Plain
}

// sealPasswords puts hashes in the place of passwords that are not hashed.
func sealPasswords(options json.RawMessage, epoch int64) (json.RawMessage, error) {
	if len(plainPasswords(options)) == 0 {
		return options, nil
	}
	var o UsersOptions
	var all map[string]json.RawMessage
	var users map[string]map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(options, &o), json.Unmarshal(options, &all), json.Unmarshal(all["users"], &users)); err != nil {
		return nil, err
	}
	seed := o.saltSeed(epoch)
	for name, u := range o.Users {
		if !u.isPlain() {
			continue
		}
		hash, err := json.Marshal(hashPassword(seed.of(name), *u.Password))
		if err != nil {
			return nil, err
		}
		users[name]["password"], users[name]["password_hashed"] = hash, json.RawMessage("true")
	}
	var err error
	if all["users"], err = json.Marshal(users); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// checkPassword looks at what a user's options say of the password.
func (u *User) checkPassword(at string) []module.Problem {
	var problems []module.Problem
	bad := func(key, message string) {
		problems = append(problems, module.Problem{Pointer: at + key, Message: message})
	}
	switch {
	case u.Password != nil && u.PasswordSecret != nil:
		bad("/password_secret", "there is a \"password\" too: give one of them")
	case u.Password == nil && u.PasswordSecret == nil && u.PasswordHashed != nil:
		bad("/password_hashed", "there is no password that it could be about: give \"password\" or \"password_secret\"")
	case u.PasswordSecret != nil && !secretName.MatchString(*u.PasswordSecret):
		bad("/password_secret", quote(*u.PasswordSecret)+" is not the name of a secret: use letters, digits, ., _ and -")
	case u.Password != nil:
		if _, err := u.passwordKind(*u.Password); err != nil {
			bad("/password", err.Error())
		}
	}
	return problems
}

// resolvePassword puts what is to be stored into Password.
func (u *User) resolvePassword(in *module.Input, salt, name string) error {
	given := u.Password
	if u.PasswordSecret != nil {
		text, err := secretLine(in, *u.PasswordSecret)
		if err != nil {
			return fmt.Errorf("the secret %s: %w", *u.PasswordSecret, err)
		}
		given = &text
	}
	if given == nil {
		return nil
	}
	kind, err := u.passwordKind(*given)
	if err != nil && u.PasswordSecret != nil {
		return fmt.Errorf("the secret %s: %w", *u.PasswordSecret, err)
	}
	if err != nil {
		return err
	}
	if kind == crypt.Plain {
		hash := hashPassword(salt, *given)
		given = &hash
		if u.PasswordSecret == nil {
			in.Logf("user %s: the password is not hashed in the manifest; its SHA-512 hash is stored", name)
		}
	}
	u.Password = given
	return nil
}

// passwordKind tells what a password is, or what is wrong with it. No error
// repeats it.
func (u *User) passwordKind(text string) (crypt.Kind, error) {
	kind := crypt.Classify(text)
	if u.PasswordHashed != nil && text != "" {
		kind = crypt.Plain
		if *u.PasswordHashed {
			kind = crypt.Hash
		}
	}
	switch {
	case kind == crypt.Ambiguous:
		return kind, fmt.Errorf("%s: if it is the password, give what \"openssl passwd -6\" prints for it, or \"password_hashed\": false; "+
			"if it is to be stored as it is, give \"password_hashed\": true; to lock the account give \"!\"", crypt.Why(text))
	case kind == crypt.Plain && (len(text) > maxPassword || strings.ContainsAny(text, "\x00\r\n")):
		return kind, fmt.Errorf("a password has one line of at most %d bytes", maxPassword)
	case kind != crypt.Plain && (strings.Contains(text, ":") || hasControl(text)):
		return kind, errors.New("a colon, a line break or another control character cannot stand in etc/shadow")
	}
	return kind, nil
}

// secretLine reads a secret of the build that is one line of text.
func secretLine(in *module.Input, name string) (string, error) {
	line, err := in.ReadSecret(name)
	if err != nil {
		return "", err
	}
	if bytes.ContainsAny(line, "\x00\r\n") {
		return "", errors.New("it is not one line of text")
	}
	return string(line), nil
}
