//go:build e2e

package test

import (
	"crypto/sha256"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/internal/testkey"
)

// upgradedPackage is a package of the machine that the live archive has in a newer
// version: one that makes a file of its own for each machine.
const upgradedPackage = "ssl-cert"

// newerPackage makes a newer version of a package of the image and returns its
// file and its control data.
func newerPackage(t *testing.T, images string) (deb []byte, control, version string) {
	t.Helper()
	list := packageList(t, images)
	at := slices.IndexFunc(list.Packages, func(p debian.Package) bool { return p.Name == upgradedPackage })
	if at < 0 {
		t.Fatalf("the image has no %s", upgradedPackage)
	}
	dir := t.TempDir()
	old, tree, made := filepath.Join(dir, "old.deb"), filepath.Join(dir, "tree"), filepath.Join(dir, "new.deb")
	if err := os.WriteFile(old, fetched(t, list.Packages[at].Path), 0o644); err != nil {
		t.Fatal(err)
	}
	output(t, "dpkg-deb", "-R", old, tree)
	version = list.Packages[at].Version + "+test1"
	text := regexp.MustCompile(`(?m)^Version: .*$`).ReplaceAllString(string(readFile(t, filepath.Join(tree, "DEBIAN/control"))), "Version: "+version)
	if err := os.WriteFile(filepath.Join(tree, "DEBIAN/control"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	output(t, "dpkg-deb", "--root-owner-group", "-b", tree, made)
	return readFile(t, made), strings.TrimSpace(text), version
}

// startArchive serves a live archive on loopback that has one package, and returns
// its address as a guest sees it, the key that signs it and the package's version.
func startArchive(t *testing.T, images string) (address, key, version string) {
	t.Helper()
	signer := testkey.NewSigner(t, nil)
	deb, control, version := newerPackage(t, images)
	index := control + "\n" + poolFields("pool/new.deb", deb) + "\n"
	release := fmt.Sprintf("Codename: live\nSuite: live\nArchitectures: all amd64\nComponents: main\nDate: %s\nSHA256:\n %x %d main/binary-amd64/Packages\n",
		time.Now().UTC().Format(time.RFC1123), sha256.Sum256([]byte(index)), len(index))
	server := httptest.NewServer(&aptServer{files: map[string][]byte{
		path.Join("dists/live", "InRelease"): []byte(signer.Clear(release)), "dists/live/main/binary-amd64/Packages": []byte(index), "pool/new.deb": deb,
	}})
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + archiveName + ":" + u.Port(), signer.Keyring(), version
}

// upgrade brings the machine up to date from a live archive, which is named as
// an administrator does. The machine's own sources are on the Internet, where no
// test goes.
func (g *guest) upgrade(t *testing.T, images string) {
	t.Helper()
	address, key, version := startArchive(t, images)
	script := fmt.Sprintf(`set -e
mkdir -p /root/sources
mv /etc/apt/sources.list.d/* /root/sources/ 2>/dev/null || :
mv /etc/apt/sources.list /root/sources/ 2>/dev/null || :
cat > /etc/apt/keyrings/live.asc <<'END'
%s
END
echo 'deb [signed-by=/etc/apt/keyrings/live.asc] %s live main' > /etc/apt/sources.list.d/live.list
export DEBIAN_FRONTEND=noninteractive
{ apt-get update && apt-get -y upgrade; } > /root/apt.log 2>&1 || { cat /root/apt.log; exit 1; }
dpkg-query -W -f '${Version} ${db:Status-Status}' %s
`, key, address, upgradedPackage)
	said, _ := g.run(script, "")
	if want := version + " installed"; said != want {
		t.Errorf("after the upgrade %s is %q, want %q", upgradedPackage, said, want)
	}
}
