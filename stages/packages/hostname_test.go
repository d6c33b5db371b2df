package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/tree"
)

func TestTellName(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("setting owners takes root")
	}
	tests := []struct {
		name                       string
		files                      map[string]string
		plain, short, full, domain string
	}{
		{"short", map[string]string{"etc/hostname": "web1\n"}, "web1", "web1", "web1", ""},
		{"with a domain", map[string]string{"etc/hostname": "# a\nweb1.example.org\n"}, "web1.example.org", "web1", "web1.example.org", "example.org"},
		{
			"the domain is in hosts", map[string]string{"etc/hostname": "web1\n", "etc/hosts": "127.0.0.1 localhost\n127.0.1.1\tweb1.example.org web1 # web1\n"},
			"web1", "web1", "web1.example.org", "example.org",
		},
		{"no name", nil, "", "", "", ""},
		{"a comment", map[string]string{"etc/hostname": "# web1\n"}, "", "", "", ""},
		{"not a name", map[string]string{"etc/hostname": "$(id)\n"}, "", "", "", ""},
		{
			"not a name in hosts", map[string]string{"etc/hostname": "web1\n", "etc/hosts": "127.0.1.1 $(id) web1\n"},
			"web1", "web1", "web1", "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := makeTree(t, tt.files)
			r, err := tree.Open(root)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			search, undo, err := tellName(r)
			if err != nil {
				t.Fatal(err)
			}
			if (search == "") != (tt.plain == "") {
				t.Fatalf("search path %q", search)
			}
			if search == "" {
				return
			}
			ask := func(argv ...string) string {
				out, err := exec.Command(filepath.Join(root, nameDir, argv[0]), argv[1:]...).CombinedOutput()
				if err != nil {
					t.Errorf("%v: %v\n%s", argv, err, out)
				}
				return strings.TrimSpace(string(out))
			}
			for _, q := range []struct {
				want string
				argv []string
			}{
				{tt.plain, []string{"hostname"}},
				{tt.short, []string{"hostname", "-s"}},
				{tt.full, []string{"hostname", "--fqdn"}},
				{tt.full, []string{"hostname", "-f"}},
				{tt.domain, []string{"hostname", "-d"}},
				{tt.plain, []string{"uname", "-n"}},
				{"Linux", []string{"uname"}},
			} {
				if got := ask(q.argv...); got != q.want {
					t.Errorf("%v: %q, want %q", q.argv, got, q.want)
				}
			}
			if err := undo(); err != nil {
				t.Fatal(err)
			}
			if ok, err := r.Exists(nameDir); ok || err != nil {
				t.Errorf("the programs are left: %v, %v", ok, err)
			}
		})
	}
}
