package crypt

import (
	"os/exec"
	"strings"
	"testing"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	n := func(n int) string { return strings.Repeat("aB3./", n/5+1)[:n] }
	cases := []struct {
		text string
		want Kind
		why  string
	}{
		{"", Empty, ""},
		{"!", Lock, ""}, {"!!", Lock, ""}, {"*", Lock, ""}, {"!*", Lock, ""},
		{"!$6$salt$" + n(86), Lock, ""}, {"!!$6$salt$" + n(86), Lock, ""}, {"!$1$salt$" + n(22), Lock, ""},
		{"!QAZ2wsx", Ambiguous, "begins with !"}, {"!!!", Ambiguous, "begins with !"}, {"!" + n(13), Ambiguous, "begins with !"},
		{"*LK*", Ambiguous, "begins with *"}, {"*" + n(13), Ambiguous, "begins with *"}, {"*$6$salt$" + n(86), Ambiguous, "begins with *"},
		{"!!!$6$salt$" + n(86), Ambiguous, "begins with !"}, {"!$6$salt", Ambiguous, "begins with !"},
		{"$ecret$words", Ambiguous, "begins with $"}, {"$", Ambiguous, "begins with $"}, {"$$", Ambiguous, "begins with $"},
		{"$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$" + n(43), Ambiguous, "crypt(5)"},
		{"$6$salt$" + n(86), Hash, ""}, {"$6$rounds=100000$salt$" + n(86), Hash, ""},
		{"$6$salt$" + n(85), Ambiguous, "not a whole one"}, {"$6$salt$" + n(87), Ambiguous, "not a whole one"},
		{"$6$salt$" + n(85) + "!", Ambiguous, "not a whole one"}, {"$6$$" + n(86), Ambiguous, "not a whole one"},
		{"$6$" + n(17) + "$" + n(86), Ambiguous, "not a whole one"}, {"$6$sa:t$" + n(86), Ambiguous, "not a whole one"},
		{"$6$rounds=x$salt$" + n(86), Ambiguous, "not a whole one"}, {"$6$salt$" + n(86) + "\n", Ambiguous, "blanks around"},
		{" $6$salt$" + n(86), Ambiguous, "blanks around"}, {"\t!$6$salt$" + n(86) + " ", Ambiguous, "blanks around"}, {" !", Ambiguous, "blanks around"},
		{" $6$salt", Plain, ""}, {" ", Plain, ""}, {" x", Plain, ""},
		{"$5$salt$" + n(43), Hash, ""}, {"$5$salt$" + n(86), Ambiguous, "not a whole one"},
		{"$y$j9T$" + n(22) + "$" + n(43), Hash, ""}, {"$gy$j9T$" + n(22) + "$" + n(43), Hash, ""}, {"$y$j9T$x", Ambiguous, "not a whole one"},
		{"$2b$05$" + n(53), Hash, ""}, {"$2c$05$" + n(53), Ambiguous, "begins with $"}, {"$2b$5$" + n(53), Ambiguous, "not a whole one"},
		{"$7$" + n(11) + n(8) + "$" + n(43), Hash, ""},
		{"$1$salt$" + n(22), Weak, ""}, {"$1$saltsalts$" + n(22), Ambiguous, "not a whole one"},
		{"$3$$" + strings.Repeat("0f", 16), Weak, ""}, {"$sha1$40000$salt$" + n(28), Weak, ""}, {"$md5,rounds=5000$GUBv0xjJ$$mSwgIswdjlTY0YxV7HBVm0", Weak, ""},
		{n(13), Ambiguous, "DES"}, {"correcthorse1", Ambiguous, "DES"}, {"_" + n(19), Ambiguous, "DES"},
		{n(12), Plain, ""}, {n(14), Plain, ""}, {"_" + n(18), Plain, ""}, {"correct-horse", Plain, ""}, {"paßwordwörter", Plain, ""},
		{"x", Ambiguous, "/etc/passwd"}, {"X", Plain, ""}, {"a$6$b", Plain, ""}, {"a!", Plain, ""}, {"hun:ter2", Plain, ""},
	}
	for _, c := range cases {
		got := Classify(c.text)
		if got != c.want {
			t.Errorf("%q: %d, want %d", c.text, got, c.want)
		}
		if got != Ambiguous {
			continue
		}
		why := Why(c.text)
		if !strings.Contains(why, c.why) {
			t.Errorf("%q: %q, want %q in it", c.text, why, c.why)
		}
		if len(c.text) > 3 && strings.Contains(why, c.text) {
			t.Errorf("%q is repeated", c.text)
		}
	}
}

// What programs print is a hash.
func TestClassifyOfPrograms(t *testing.T) {
	t.Parallel()
	for _, argv := range [][]string{
		{"openssl", "passwd", "-6", "secret"}, {"openssl", "passwd", "-5", "secret"}, {"openssl", "passwd", "-1", "secret"},
		{"mkpasswd", "-m", "yescrypt", "secret"}, {"mkpasswd", "-m", "gost-yescrypt", "secret"}, {"mkpasswd", "-m", "scrypt", "secret"},
		{"mkpasswd", "-m", "bcrypt", "secret"}, {"mkpasswd", "-m", "bcrypt-a", "secret"}, {"mkpasswd", "-m", "sha512crypt", "-R", "10000", "secret"},
		{"mkpasswd", "-m", "sha256crypt", "secret"}, {"mkpasswd", "-m", "sunmd5", "secret"}, {"mkpasswd", "-m", "md5crypt", "secret"},
		{"mkpasswd", "-m", "sha1crypt", "secret"}, {"mkpasswd", "-m", "nt", "secret"}, {"mkpasswd", "-m", "sm3crypt", "secret"}, {"mkpasswd", "-m", "sm3yescrypt", "secret"},
	} {
		t.Run(strings.Join(argv, " "), func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command(argv[0], argv[1:]...).Output()
			if err != nil {
				t.Skip(err)
			}
			hash := strings.TrimSpace(string(out))
			if kind := Classify(hash); kind != Hash && kind != Weak {
				t.Errorf("%s: %d", hash, kind)
			}
			if kind := Classify("!" + hash); kind != Lock {
				t.Errorf("!%s: %d", hash, kind)
			}
			if kind := Classify(hash[:len(hash)-1]); kind != Ambiguous && !strings.Contains(hash, "sha1") {
				t.Errorf("cut off: %s: %d", hash, kind)
			}
		})
	}
}

func FuzzClassify(f *testing.F) {
	for _, s := range []string{"", "!", "$6$salt$", "x", "!$1$"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		switch kind := Classify(s); kind {
		case Hash, Weak, Lock:
			if strings.ContainsAny(s, ":\n\x00") {
				t.Errorf("%q is a hash or a lock and cannot be in etc/shadow", s)
			}
		case Ambiguous:
			if Why(s) == "" {
				t.Errorf("%q: no reason", s)
			}
		case Empty, Plain:
		default:
			t.Errorf("%q: %d", s, kind)
		}
	})
}
