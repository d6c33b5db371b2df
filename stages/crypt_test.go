package stages

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// testSecretHash is the hash of "secret" for the user a.
const testSecretHash = "$6$JTmYCdN8en7n7PYX$Owp2rk8fXun8oKMY.J08Ii1MiWWavJ6S4/fS4bA7f4TJ9o1LM0lpQvq56pIRWbWyVuC2Zoc8LnFIUa/hyPwfN."

// TestSHA512Crypt checks the examples of the method's description and lengths
// around the size of a sum.
func TestSHA512Crypt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key, salt string
		rounds    int
		want      string
	}{
		{"Hello world!", "saltstring", 5000, "svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"},
		{"Hello world!", "saltstringsaltst", 10000, "OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v."},
	} {
		if got := sha512Crypt([]byte(c.key), []byte(c.salt), c.rounds); got != c.want {
			t.Errorf("%q with %q: %s, want %s", c.key, c.salt, got, c.want)
		}
	}
}

// hashOf is the hash that stands in etc/shadow for a password of a user, with
// options that are otherwise the same.
func hashOf(options, user, password string) string {
	var o UsersOptions
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		panic(err)
	}
	return hashPassword(o.saltSeed(testEpoch).of(user), password)
}

func TestHashPassword(t *testing.T) {
	t.Parallel()
	const options = `{"users": {"a": {"password": "secret"}, "b": {"uid": 7}}}`
	if got := hashOf(`{"users": {"a": {}}}`, "a", "secret"); got != testSecretHash {
		t.Errorf("the hash has changed, and with it every image: %s", got)
	}
	salt := func(options, user string, epoch int64) string {
		var o UsersOptions
		if err := json.Unmarshal([]byte(options), &o); err != nil {
			t.Fatal(err)
		}
		return o.saltSeed(epoch).of(user)
	}
	first := salt(options, "a", 1)
	if len(first) != 16 || strings.Trim(first, cryptAlphabet) != "" {
		t.Errorf("the salt is %q", first)
	}
	// A salt is public, and must tell nothing of a password.
	for _, same := range []string{
		`{"users": {"a": {"password": "another"}, "b": {"uid": 7}}}`, `{"users": {"b": {"uid": 7}, "a": {"password_secret": "s", "password_hashed": false}}}`,
		`{"users": {"b": {"uid": 7, "password": "secret"}, "a": {}}}`,
	} {
		if got := salt(same, "a", 1); got != first {
			t.Errorf("%s: the salt depends on a password", same)
		}
	}
	seen := map[string]bool{first: true}
	for _, other := range []string{salt(options, "b", 1), salt(options, "a", 2), salt(`{"users": {"a": {}, "b": {"uid": 8}}}`, "a", 1)} {
		if seen[other] {
			t.Errorf("the salt %q is that of another user, time or stage", other)
		}
		seen[other] = true
	}
}

// TestHashPasswordAsOpenSSL compares hashes with those of another program.
func TestHashPasswordAsOpenSSL(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("needs openssl")
	}
	for _, n := range []int{1, 2, 7, 8, 31, 63, 64, 65, 127, 128, 200} {
		password := strings.Repeat("pä:", n)[:n]
		got := hashOf(`{}`, "user", password)
		cmd := exec.Command(openssl, "passwd", "-6", "-salt", strings.Split(got, "$")[2], "-stdin")
		cmd.Stdin = strings.NewReader(password + "\n")
		out, err := cmd.Output()
		if err != nil {
			t.Skipf("openssl does not work here: %v", err)
		}
		if want := strings.TrimSpace(string(out)); got != want {
			t.Errorf("%d bytes: %s, openssl has %s", n, got, want)
		}
	}
}
