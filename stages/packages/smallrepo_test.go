//go:build e2e

package packages

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/internal/testkey"
)

// smallRepository cuts the repository that bootstrap has fetched down to the
// named packages and all that they may need, signs it anew, and returns the
// key. Of the seconds that apt takes for the whole of Debian nearly all go
// into reading its index, which shows nothing more the second time.
func (b *builder) smallRepository(dir, suite string, names ...string) (keyring string) {
	b.t.Helper()
	dists := filepath.Join(b.dir, "repos", "0", "dists", suite)
	in, err := os.ReadFile(filepath.Join(dists, "InRelease"))
	if err != nil {
		b.t.Fatal(err)
	}
	rel, err := debian.ParseInRelease(in, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	indexes, err := rel.PackagesIndexes([]string{"main"}, "amd64")
	if err != nil {
		b.t.Fatal(err)
	}
	var all bytes.Buffer
	for _, ix := range indexes {
		f, err := os.Open(filepath.Join(dists, ix.Path))
		if err != nil {
			b.t.Fatal(err)
		}
		defer f.Close()
		r, err := debian.Decompress(ix.Path, f)
		if err != nil {
			b.t.Fatal(err)
		}
		if _, err := all.ReadFrom(r); err != nil {
			b.t.Fatal(err)
		}
	}
	packages := reachable(all.String(), names)
	text := fmt.Sprintf("Origin: Debian\nLabel: Debian\nSuite: stable\nCodename: %s\nDate: %s\nArchitectures: amd64\nComponents: main\nSHA256:\n %x %d main/binary-amd64/Packages\n",
		suite, time.Now().UTC().Format(time.RFC1123), sha256.Sum256([]byte(packages)), len(packages))
	key := testkey.NewSigner(b.t, &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	signed, keyring := []byte(key.Clear(text)), key.Keyring()
	out := filepath.Join(dir, "0", "dists", suite)
	if err := os.MkdirAll(filepath.Join(out, "main/binary-amd64"), 0o755); err != nil {
		b.t.Fatal(err)
	}
	for name, data := range map[string][]byte{"InRelease": signed, "main/binary-amd64/Packages": []byte(packages)} {
		if err := os.WriteFile(filepath.Join(out, name), data, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	return keyring
}

var (
	packageField = regexp.MustCompile(`(?m)^Package: (.*)$`)
	needField    = regexp.MustCompile(`(?m)^(?:Pre-Depends|Depends|Recommends): (.*)$`)
	needName     = regexp.MustCompile(`(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)`)
)

// reachable keeps those stanzas of an index that the named packages lead to.
func reachable(index string, names []string) string {
	stanzas := map[string]string{}
	for stanza := range strings.SplitSeq(index, "\n\n") {
		if m := packageField.FindStringSubmatch(stanza); m != nil {
			stanzas[m[1]] = stanza
		}
	}
	var out strings.Builder
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		stanza, ok := stanzas[name]
		if !ok {
			continue // virtual, or done already
		}
		delete(stanzas, name)
		out.WriteString(strings.TrimSpace(stanza) + "\n\n")
		for _, need := range needField.FindAllStringSubmatch(stanza, -1) {
			for _, m := range needName.FindAllStringSubmatch(need[1], -1) {
				names = append(names, m[1])
			}
		}
	}
	return out.String()
}
