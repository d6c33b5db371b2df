package llb

import (
	"context"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

var arm64 = ocispecs.Platform{OS: "linux", Architecture: "arm64"}

// onlyNative is a builder without emulators.
func onlyNative(p ocispecs.Platform) bool { return p.Architecture == "amd64" }

// Steps that only edit files run for every platform on any builder; one that
// runs the image's own programs is refused before anything of it is built.
func TestForeignPlatform(t *testing.T) {
	t.Parallel()
	opt := options(t)
	opt.Platform, opt.Runs = arm64, onlyNative
	edits := testManifest(t, `{"stages": [{"name": "org.osbuild.hostname", "options": {"hostname": "a"}}]}`)
	if define(t, edits, opt, "tree") == nil {
		t.Error("no graph")
	}
	m := testManifest(t, `{"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "keyring": KEYRING}}]}`)
	_, err := New(m, opt).Pipeline(t.Context(), "tree")
	const want = `org.osbuildkit.debootstrap in pipeline "tree": it runs programs of the image, which is for linux/arm64, and this builder runs only its own, for linux/amd64: ` +
		`register an emulator on the builder (binfmt_misc with qemu-user), or add a linux/arm64 node to it`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// A build root is for the builder, whatever the image is for.
func TestBuildRootIsNative(t *testing.T) {
	t.Parallel()
	m := testManifest(t, `{
	  "build": {"stages": [{"name": "org.osbuild.hostname", "options": {"hostname": "build"}}]},
	  "stages": [{"name": "org.osbuild.hostname", "options": {"hostname": "a"}}],
	  "assembler": {"name": "org.osbuild.qemu", "options": {"format": "raw", "filename": "a", "ptuuid": "0x7e83a7ba",
	    "root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "size": 1073741824}}}`)
	opt := options(t)
	opt.Platform, opt.Runs, opt.Label = arm64, onlyNative, "linux/arm64 "
	g := New(m, opt)
	if _, err := g.Pipeline(t.Context(), "assembler"); err != nil {
		t.Fatal(err)
	}
	if g.native == nil || g.native.Platform().Architecture != "amd64" {
		t.Fatal("the build root is not built for the builder")
	}
	if _, ok := g.trees["build"]; ok {
		t.Error("the build root is built for the image's platform")
	}
}

// A file that is given with the build is taken in place of a download; files
// without a known checksum never are.
func TestGivenSource(t *testing.T) {
	t.Parallel()
	const given = "3333333333333333333333333333333333333333333333333333333333333333"
	m := testManifest(t, `{"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "keyring": KEYRING}}]}`)
	opt := options(t)
	opt.Source = func(_ context.Context, sum string) (*llb.State, string, error) {
		if sum != given {
			return nil, "", nil
		}
		st := llb.Local("given", llb.LocalUniqueID("given"))
		return &st, "/some.deb", nil
	}
	var urls, copied []string
	for _, d := range define(t, m, opt, "tree").Def {
		var op pb.Op
		if err := op.UnmarshalVT(d); err != nil {
			t.Fatal(err)
		}
		if s := op.GetSource(); s != nil {
			urls = append(urls, s.Identifier)
		}
		for _, a := range op.GetFile().GetActions() {
			if c := a.GetCopy(); c != nil && strings.HasPrefix(c.Src, "/some") {
				copied = append(copied, c.Src+" "+c.Dest)
			}
		}
	}
	all := strings.Join(urls, "\n")
	if strings.Contains(all, "base-files") || !strings.Contains(all, "login_4.16_amd64.deb") || !strings.Contains(all, "local://given") {
		t.Errorf("sources:\n%s", all)
	}
	if len(copied) != 1 || copied[0] != "/some.deb /base-files_13.8_amd64.deb" {
		t.Errorf("copied %q", copied)
	}
}
