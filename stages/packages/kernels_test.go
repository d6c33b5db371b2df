package packages

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/tree"
)

const kernelScript = "#!/bin/sh -e\nif [ -d /etc/kernel/postinst.d ]; then\n" +
	"    DEB_MAINT_PARAMS=\"$*\" run-parts --report --exit-on-error --arg=$version \\\n\t--arg=$image_path /etc/kernel/postinst.d\nfi\n"

// pkg makes a package of "NAME", "NAME: DEPENDS" or, if it is a kernel,
// "*NAME: DEPENDS"; what follows a semicolon is what it provides.
func pkg(t *testing.T, text string) configurable {
	t.Helper()
	text, provides, _ := strings.Cut(text, ";")
	name, depends, _ := strings.Cut(text, ":")
	kernel := strings.HasPrefix(name, "*")
	name = strings.TrimPrefix(name, "*")
	stanzas, err := debian.ParseControl([]byte("Package: " + name + "\nDepends: " + depends + "\nProvides: " + provides + "\n"))
	if err != nil || len(stanzas) != 1 {
		t.Fatal(stanzas, err)
	}
	c := configurable{name: name, control: stanzas[0], postinst: []byte("#!/bin/sh\n# see run-parts /etc/kernel/postinst.d\nexit 0\n")}
	if kernel {
		c.postinst = []byte(kernelScript)
	}
	return c
}

func TestIsKernel(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, script string
		want         bool
	}{
		{"linux-image-6.12.1+deb13-amd64", "", true},
		{"linux-image-unsigned-6.8.0-1-generic", "", true},
		{"linux-image-amd64", "#!/bin/sh\n", false},
		{"linux-headers-6.12", "#!/bin/sh\nlinux-run-hooks headers postinst 6.12\n", false},
		{"mine", kernelScript, true},
		{"mine", "#!/bin/sh -e\nlinux-run-hooks image postinst $version $image_path -- \"$@\"\n", true},
		{"dkms", "#!/bin/sh\n# run-parts /etc/kernel/postinst.d\nls /etc/kernel/postinst.d\n", false},
	}
	for _, tt := range tests {
		c := pkg(t, tt.name)
		c.postinst = []byte(tt.script)
		if got := c.isKernel(); got != tt.want {
			t.Errorf("%s with %q: %v", tt.name, tt.script, got)
		}
	}
}

func TestKernelsLast(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		in          []string
		first, last string
	}{
		{"none", []string{"a", "b: a"}, "a b", ""},
		{"kernel and its meta package", []string{"initramfs-tools: udev", "linux-mine: kmod, initramfs-tools | linux-initramfs-tool", "linux-image-6.1: kmod", "linux-image-amd64: linux-image-6.1 (= 1)", "udev"},
			"initramfs-tools linux-mine udev", "linux-image-6.1 linux-image-amd64"},
		{"what needs one comes with it, however far", []string{"c: b", "b: x | k", "*k", "a"}, "a", "c b k"},
		{"by what it stands for", []string{"needs: linux-any", "*k; linux-any", "a: needs", "z"}, "z", "needs k a"},
		{"two kernels", []string{"*k1", "*k2", "udev"}, "udev", "k1 k2"},
		{"a kernel alone", []string{"*k"}, "k", ""},
		{"what is no relation is for dpkg to judge", []string{"odd: (((", "*k", "a"}, "a", "odd k"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var in []configurable
			for _, text := range tt.in {
				in = append(in, pkg(t, text))
			}
			first, last := kernelsLast(in)
			if diff := cmp.Diff([]string{tt.first, tt.last}, []string{strings.Join(first, " "), strings.Join(last, " ")}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestInstallAll(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("setting owners takes root")
	}
	const name = "InitiatorName=iqn.1993-08.org.debian:01:c0ffee\n"
	status := func(pkg string) string {
		return "Package: " + pkg + "\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"
	}
	tests := []struct {
		name, status string
		files        []string
		fail         string
		want         []string
		initiator    string // of the tree, when the last ones are installed
	}{
		{"a kernel", status("base-files"), []string{"udev", "*linux-image-6.1", "linux-image-amd64: linux-image-6.1"}, "", []string{"udev", "linux-image-6.1 linux-image-amd64"}, generateName},
		{"no kernel", status("base-files"), []string{"udev", "kmod"}, "", []string{"udev kmod"}, name},
		{"an older one is there", status("linux-image-amd64"), []string{"udev", "*linux-image-6.1", "linux-image-amd64: linux-image-6.1"}, "", []string{"udev linux-image-6.1 linux-image-amd64"}, name},
		{"the first ones fail", status("base-files"), []string{"udev", "*linux-image-6.1"}, "udev", []string{"udev"}, name},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := makeTree(t, map[string]string{
				statusFile: tt.status, "etc/iscsi/initiatorname.iscsi": name, "usr/lib/open-iscsi/startup-checks.sh": "GenerateName=yes",
			})
			r, err := tree.Open(root)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var files []configurable
			for _, text := range tt.files {
				files = append(files, pkg(t, text))
			}
			var got []string
			var initiator []byte
			failure := errors.New("no")
			err = installAll(context.Background(), r, files, func(names []string) error {
				got = append(got, strings.Join(names, " "))
				initiator, _ = r.ReadFile("etc/iscsi/initiatorname.iscsi")
				if got[len(got)-1] == tt.fail {
					return failure
				}
				return nil
			})
			if (tt.fail != "") != errors.Is(err, failure) || tt.fail == "" && err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(append(tt.want, tt.initiator), append(got, string(initiator))); diff != "" {
				t.Error(diff)
			}
		})
	}
}
