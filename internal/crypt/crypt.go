package crypt

import (
	"regexp"
	"strings"
)

// Kind is what a text in the place of a password is.
type Kind int

// The kinds of text.
const (
	// Empty needs no password.
	Empty Kind = iota
	// Plain is a password that is not hashed.
	Plain
	// Hash is a hash, by a method that holds.
	Hash
	// Weak is a hash, by a method that is broken.
	Weak
	// Lock lets nobody log in with a password.
	Lock
	// Ambiguous is what may be meant in two ways: see Why.
	Ambiguous
)

// methods are the forms of hashes by crypt(5).
var methods = []struct {
	form *regexp.Regexp
	kind Kind
}{
	{regexp.MustCompile(`^\$g?y\$[./A-Za-z0-9]+\$[./A-Za-z0-9]{0,86}\$[./A-Za-z0-9]{43}$`), Hash},         // yescrypt, gost-yescrypt
	{regexp.MustCompile(`^\$sm3y\$[./A-Za-z0-9]+\$[./A-Za-z0-9]{0,86}\$[./A-Za-z0-9]{43}$`), Hash},        // sm3-yescrypt
	{regexp.MustCompile(`^\$7\$[./A-Za-z0-9]{11,97}\$[./A-Za-z0-9]{43}$`), Hash},                          // scrypt
	{regexp.MustCompile(`^\$2[abxy]\$[0-9]{2}\$[./A-Za-z0-9]{53}$`), Hash},                                // bcrypt
	{regexp.MustCompile(`^\$6\$(rounds=[1-9][0-9]+\$)?[^$:\x00-\x1f]{1,16}\$[./0-9A-Za-z]{86}$`), Hash},   // SHA-512
	{regexp.MustCompile(`^\$5\$(rounds=[1-9][0-9]+\$)?[^$:\x00-\x1f]{1,16}\$[./0-9A-Za-z]{43}$`), Hash},   // SHA-256
	{regexp.MustCompile(`^\$sm3\$(rounds=[1-9][0-9]+\$)?[^$:\x00-\x1f]{1,16}\$[./0-9A-Za-z]{43}$`), Hash}, // SM3
	{regexp.MustCompile(`^\$sha1\$[1-9][0-9]+\$[./0-9A-Za-z]{1,64}\$[./0-9A-Za-z]{28,96}$`), Weak},        // NetBSD's
	{regexp.MustCompile(`^\$md5[,$](rounds=[1-9][0-9]+\$)?[./0-9A-Za-z]{1,16}\${1,2}[./0-9A-Za-z]{22}$`), Weak},
	{regexp.MustCompile(`^\$1\$[^$:\x00-\x1f]{1,8}\$[./0-9A-Za-z]{22}$`), Weak}, // MD5
	{regexp.MustCompile(`^\$3\$\$[0-9a-f]{32}$`), Weak},                         // Windows's
}

var (
	// desForms are hashes of DES: nothing in them says that they are hashes.
	desForms = regexp.MustCompile(`^([./0-9A-Za-z]{13}|_[./0-9A-Za-z]{19})$`)
	// namesMethod begins as a hash does.
	namesMethod = regexp.MustCompile(`^\$(g?y|sm3y?|7|2[abxy]?|6|5|sha1|md5|1|3)[$,]`)
)

// locks are what programs write to lock an account.
var locks = map[string]bool{"!": true, "!!": true, "*": true, "!*": true}

// Classify tells what a text is. Only what cannot be a password that somebody
// thought of is a hash or a lock.
func Classify(s string) Kind {
	kind := hashKind(s)
	switch {
	case s == "":
		return Empty
	case locks[s], lockedHash(s):
		return Lock
	case kind == Hash, kind == Weak:
		return kind
	case desForms.MatchString(s), strings.ContainsAny(s[:1], "!*$"), s == "x", surrounded(s):
		return Ambiguous
	}
	return Plain
}

// surrounded reports whether a text is a hash or a lock with blanks around it, as
// it comes from the output of a program or out of a table.
func surrounded(s string) bool {
	inner := strings.TrimSpace(s)
	return inner != s && (locks[inner] || lockedHash(inner) || hashKind(inner) != Plain)
}

// lockedHash reports whether a text is a hash behind the sign with which
// programs lock an account.
func lockedHash(s string) bool {
	rest := strings.TrimLeft(s, "!")
	if n := len(s) - len(rest); n < 1 || n > 2 {
		return false
	}
	return hashKind(rest) != Plain
}

// hashKind returns Hash, Weak or, for everything else, Plain.
func hashKind(s string) Kind {
	if len(s) > maxHash {
		return Plain
	}
	for _, m := range methods {
		if m.form.MatchString(s) {
			return m.kind
		}
	}
	return Plain
}

// maxHash is the length of the longest output of crypt(3).
const maxHash = 384

// Why says in which ways an ambiguous text may be meant, without a word of
// the text itself.
func Why(s string) string {
	switch {
	case surrounded(s):
		return "it is a hash or a lock with blanks around it, which nobody could log in with"
	case namesMethod.MatchString(s):
		return "it begins as a hash does and is not a whole one"
	case strings.HasPrefix(s, "$"):
		return "it begins with $, as a hash does, and is not one that crypt(5) knows"
	case strings.HasPrefix(s, "!"), strings.HasPrefix(s, "*"):
		return "it begins with " + s[:1] + ", as a locked password does, and only !, !!, *, !* and ! before a hash are locks"
	case s == "x":
		return "it is what /etc/passwd has in the place of a password"
	}
	return "it may be a hash of DES, and it may be a password that is not hashed"
}
