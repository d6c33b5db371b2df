package stages

import (
	"os/exec"
	"strings"
	"testing"
)

// testSecretHash is the hash of "secret" for the user a.
const testSecretHash = "$6$YQ6w0hHmBRz04Pw.$zOcz7h0L/kPcOESHLHppQ82Niv221WVQgEYOTEL3uoPirrojPmLLlaW8x5b7kMDSTu6UYuFF/ilYs2UQKNLnh1"

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

func TestHashPassword(t *testing.T) {
	t.Parallel()
	a, again, b := hashPassword("a", "secret"), hashPassword("a", "secret"), hashPassword("b", "secret")
	if a != again {
		t.Errorf("two hashes of one password: %s and %s", a, again)
	}
	if a == b || strings.SplitN(a, "$", 4)[2] == strings.SplitN(b, "$", 4)[2] {
		t.Errorf("two users have one salt: %s", a)
	}
	if a != testSecretHash {
		t.Errorf("the hash has changed, and with it every image: %s", a)
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
		got := hashPassword("user", password)
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
