package rpmmd

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testList() *PackageList {
	p := func(name, version, arch string, order int, reason string) Package {
		out := Package{
			Name: name, Version: version, Release: "1", Arch: arch, Location: "Packages/" + name + "-" + version + "-1." + arch + ".rpm",
			Size: 10, SHA256: strings.Repeat("0", 64), Order: order, Reason: reason,
		}
		out.File = out.DefaultFile()
		return out
	}
	return &PackageList{
		Repositories: []Repository{{ID: "repo0", Revision: "1", Repomd: "sha256:" + strings.Repeat("1", 64)}},
		Packages: []Package{
			p("kernel", "6.2", "x86_64", 4, ReasonUser), p("glibc", "2.40", "x86_64", 1, ReasonDependency),
			p("glibc", "2.40", "i686", 2, ReasonWeak), p("kernel", "6.1", "x86_64", 0, ReasonUnknown), p("bash", "5.2", "x86_64", 3, ReasonGroup),
		},
	}
}

func TestPackageList(t *testing.T) {
	t.Parallel()
	l := testList()
	text, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range l.Packages {
		names = append(names, p.NEVRA())
	}
	if got := strings.Join(names, " "); got != "bash-5.2-1.x86_64 glibc-2.40-1.i686 glibc-2.40-1.x86_64 kernel-6.1-1.x86_64 kernel-6.2-1.x86_64" {
		t.Errorf("got %s", got)
	}
	other := testList()
	slices.Reverse(other.Packages)
	if again, err := other.Encode(); err != nil || string(again) != string(text) {
		t.Errorf("another order gives another text: %v", err)
	}
	read, err := ParseList(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l, read); diff != "" {
		t.Error(diff)
	}
	names = nil
	for _, p := range read.InOrder() {
		names = append(names, p.File)
	}
	if got := strings.Join(names, " "); got != "glibc-2.40-1.x86_64.rpm glibc-2.40-1.i686.rpm bash-5.2-1.x86_64.rpm kernel-6.2-1.x86_64.rpm kernel-6.1-1.x86_64.rpm" {
		t.Errorf("the order of the transaction is %s", got)
	}
	if empty, err := (&PackageList{}).Encode(); err != nil || string(empty) != "{\n  \"packages\": []\n}\n" {
		t.Errorf("got %q, %v", empty, err)
	}
	p := Package{Name: "a", Epoch: 3, Version: "1~rc1", Release: "2", Arch: "noarch"}
	if p.NEVRA() != "a-3:1~rc1-2.noarch" || p.DefaultFile() != "a-1~rc1-2.noarch.rpm" {
		t.Errorf("got %s, %s", p.NEVRA(), p.DefaultFile())
	}
}

func TestPackageListErrors(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(l *PackageList, p *Package)
		want   string
	}{
		"name":              {func(_ *PackageList, p *Package) { p.Name = "--root=/" }, "no valid name"},
		"empty name":        {func(_ *PackageList, p *Package) { p.Name = "" }, "no valid name"},
		"version":           {func(_ *PackageList, p *Package) { p.Version = "1-2" }, "no valid version"},
		"release":           {func(_ *PackageList, p *Package) { p.Release = "" }, "no valid release"},
		"architecture":      {func(_ *PackageList, p *Package) { p.Arch = "x/y" }, "no valid architecture"},
		"location":          {func(_ *PackageList, p *Package) { p.Location = "a/../.." }, "no valid location"},
		"no location":       {func(_ *PackageList, p *Package) { p.Location = "" }, "no valid location"},
		"line in location":  {func(_ *PackageList, p *Package) { p.Location = "a\nb.rpm" }, "no valid location"},
		"base":              {func(_ *PackageList, p *Package) { p.Base = "file:///srv" }, "no valid base"},
		"file with slash":   {func(_ *PackageList, p *Package) { p.File = "a/b.rpm" }, "no valid file name"},
		"file of no rpm":    {func(_ *PackageList, p *Package) { p.File = "a.deb" }, "no valid file name"},
		"hidden file":       {func(_ *PackageList, p *Package) { p.File = ".rpm" }, "no valid file name"},
		"checksum":          {func(_ *PackageList, p *Package) { p.SHA256 = "SHA" }, "no valid SHA256"},
		"no checksum":       {func(_ *PackageList, p *Package) { p.SHA256 = "" }, "no valid SHA256"},
		"weak checksum":     {func(_ *PackageList, p *Package) { p.Sum = "sha1:" + strings.Repeat("0", 40) }, "no valid checksum of another kind"},
		"the same kind":     {func(_ *PackageList, p *Package) { p.Sum = "sha256:" + strings.Repeat("0", 64) }, "no valid checksum of another kind"},
		"bad with another":  {func(_ *PackageList, p *Package) { p.Sum, p.SHA256 = "sha512:"+strings.Repeat("0", 128), "x" }, "no valid SHA256"},
		"size":              {func(_ *PackageList, p *Package) { p.Size = 0 }, "no valid size"},
		"large":             {func(_ *PackageList, p *Package) { p.Size = MaxPackageSize + 1 }, "no valid size"},
		"repository":        {func(_ *PackageList, p *Package) { p.Repository = 1 }, "no repository 1"},
		"negative":          {func(_ *PackageList, p *Package) { p.Repository = -1 }, "no valid repository index"},
		"reason":            {func(_ *PackageList, p *Package) { p.Reason = "why" }, "no valid reason"},
		"order":             {func(_ *PackageList, p *Package) { p.Order = -1 }, "no valid order"},
		"order twice":       {func(l *PackageList, p *Package) { l.Packages[0].Order, l.Packages[1].Order = 7, 7 }, "the place 7 occurs twice"},
		"file twice":        {func(l *PackageList, p *Package) { l.Packages[1].File = p.File }, "occurs twice"},
		"repository id":     {func(l *PackageList, _ *Package) { l.Repositories[0].ID = "a b" }, "repository \"a b\""},
		"repository repomd": {func(l *PackageList, _ *Package) { l.Repositories[0].Repomd = "md5:0" }, "proves nothing"},
	} {
		l := testList()
		tt.change(l, &l.Packages[0])
		if _, err := l.Encode(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
	for text, want := range map[string]string{
		"": "the package list", "{}{}": "more than one", `{"packages":[{"nam":"x"}]}`: "unknown field", `{"packages":[{}]}`: "no valid name",
	} {
		if _, err := ParseList([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}

func TestPackageChecksum(t *testing.T) {
	t.Parallel()
	l := testList()
	p := &l.Packages[0]
	if got := p.Checksum(); got != (Checksum{"sha256", strings.Repeat("0", 64)}) {
		t.Errorf("got %s", got)
	}
	p.Sum, p.SHA256 = "sha512:"+strings.Repeat("1", 128), ""
	if got := p.Checksum(); got != (Checksum{"sha512", strings.Repeat("1", 128)}) {
		t.Errorf("got %s", got)
	}
	if err := l.Check(); err != nil {
		t.Error(err)
	}
}

// A file lies in a copy of the repository where the repository has it, but
// never outside of the copy.
func TestPackagePlace(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"Packages/a-1.rpm": "Packages/a-1.rpm", "../../store/a.rpm": "file.rpm", "a/../../b.rpm": "file.rpm", "/etc/a.rpm": "file.rpm",
		"https://x/a.rpm": "file.rpm", "a b.rpm": "file.rpm", "a%2fb.rpm": "file.rpm", "./a.rpm": "file.rpm", "a//b.rpm": "file.rpm",
	} {
		p := Package{Location: location, File: "file.rpm"}
		if got := p.Place(); got != want {
			t.Errorf("%q: %q, want %q", location, got, want)
		}
		p.Base = "https://x/"
		if got := p.Place(); got != "file.rpm" {
			t.Errorf("%q with a base: %q", location, got)
		}
	}
}

func FuzzParseList(f *testing.F) {
	text, err := testList().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"packages":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ParseList(data)
		if err != nil {
			return
		}
		one, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseList(one)
		if err != nil {
			t.Fatal(err)
		}
		two, err := again.Encode()
		if err != nil || string(one) != string(two) {
			t.Errorf("not the same twice: %v", err)
		}
	})
}
