package test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// readmeKey is the key with which the ids that README shows are those of its
// manifest: the one of the documentation.
const readmeKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINQpH3SFPS9bKYt1gXE9IWNbWn4jAWsy8JxVl9YDDQfM admin@example.org"

func readme(t testing.TB) *Readme {
	t.Helper()
	r, err := ReadReadme("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The manifest that README shows first is the one that "make demo" builds, and the
// output beside it is of that manifest. TestDemo types the commands.
func TestReadme(t *testing.T) {
	t.Parallel()
	r := readme(t)
	example, err := os.ReadFile("../examples/debian-nginx.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(example), r.Manifest); diff != "" {
		t.Errorf("README's first manifest is not the example (-example +README):\n%s", diff)
	}
	m, err := manifest.Load("image.json", []byte(r.Manifest), catalog.Builtin(), manifest.WithArgs(map[string]string{"SSH_KEY": readmeKey}))
	if err != nil {
		t.Fatal(err)
	}
	for what, id := range map[string]string{"tree id: ": m.TreeID(), "output id: ": m.OutputID()} {
		if shown := r.Printed(what); len(shown) != 8 || !strings.HasPrefix(id, shown) {
			t.Errorf("README shows %s%s…, and with the key of the documentation it is %s", what, shown, id)
		}
	}
}
