//go:build e2e

package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rpmForm is a repository of one of the forms that repositories have, with two
// packages, one of which needs a file of the other.
type rpmForm struct {
	name string
	FormRepository
	// suffix is the end of the names of its packages.
	suffix string
	// place returns the location of a file, relative to the repository or to
	// base.
	place func(file string) string
	// lies is where the server has the file, if that is not the place.
	lies func(file string) string
	base string
	// dir is the directory of the repository, if it is not the name.
	dir string
	// where says how the stage is told where the repository is, by its address
	// without the scheme and its host; the default is a base address.
	where func(s *FormServer, dir string, repomd []byte) object
	// rule is what the server wants of the requests.
	rule FormRule
}

// baseurl says where a repository is by an address with more.
func baseurl(before, after string) func(*FormServer, string, []byte) object {
	return func(s *FormServer, dir string, _ []byte) object {
		return object{"baseurl": "http://" + before + s.Address + "/" + dir + after}
	}
}

// metalinkOf says where a repository is by a metalink, of which what is given is
// the description of the file.
func metalinkOf(description func(repomd []byte) string) func(*FormServer, string, []byte) object {
	return func(s *FormServer, dir string, repomd []byte) object {
		s.Add(dir+"/metalink", fmt.Appendf(nil, `<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" xmlns:mm0="http://fedorahosted.org/mirrormanager"><files><file name="repomd.xml">%s
<resources><url protocol="http" preference="100">http://%s/%s/repodata/repomd.xml</url></resources></file></files></metalink>`, description(repomd), s.Address, dir))
		return object{"metalink": "http://" + s.Address + "/" + dir + "/metalink"}
	}
}

func hashes(data []byte) string {
	return fmt.Sprintf("<verification><hash type=\"sha1\">%s</hash><hash type=\"sha256\">%s</hash></verification>", FormSum("sha1", data), FormSum("sha256", data))
}

// replaced returns what changes a part of a text.
func replaced(pattern, by string) func(string) string {
	return func(text string) string { return regexp.MustCompile(pattern).ReplaceAllString(text, by) }
}

// rpmForms are the forms in which a repository works.
var rpmForms = []rpmForm{
	{name: "zstd", FormRepository: FormRepository{Compression: ".zst"}},
	{name: "xz", FormRepository: FormRepository{Compression: ".xz"}},
	{name: "plain", FormRepository: FormRepository{Compression: "-"}},
	{name: "sha384", FormRepository: FormRepository{Kind: "sha384"}},
	{name: "sha512", FormRepository: FormRepository{Kind: "sha512"}},
	{name: "other-sha1", FormRepository: FormRepository{Repomd: replaced(`(type="other"><checksum type=")sha256">.{40}.{24}`, `${1}sha">`+strings.Repeat("0", 40))}},
	{name: "sqlite-too", FormRepository: FormRepository{Repomd: replaced(`</repomd>`,
		`<data type="primary_db"><checksum type="md5">0123456789abcdef0123456789abcdef</checksum><location href="repodata/primary.sqlite.bz2"/><database_version>10</database_version></data></repomd>`)}},
	{name: "no-filelists", FormRepository: FormRepository{NoFilelists: true}},
	{name: "above", dir: "above/a/b", place: func(file string) string { return "../../blobstore/" + FormSum("sha256", []byte(file)) + "/" + file }},
	{name: "base", base: "http://ADDRESS/base-pool/", place: func(file string) string { return file }, lies: func(file string) string { return "../base-pool/" + file }},
	{name: "plus", suffix: "++"},
	{name: "escaped", place: func(file string) string { return "a b%2bc/" + file }},
	{name: "slashes", where: baseurl("", "///")},
	{name: "query", where: baseurl("", "/?token=a%2Fb"), rule: func(w http.ResponseWriter, r *http.Request) bool {
		return refuse(w, r.URL.RawQuery != "token=a%2Fb")
	}},
	{name: "user", where: baseurl("us%40er:pass%2Fword@", ""), rule: func(w http.ResponseWriter, r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		return refuse(w, user != "us@er" || password != "pass/word")
	}},
	{name: "ipv6", where: func(s *FormServer, dir string, _ []byte) object {
		return object{"baseurl": "http://" + s.Address6 + "/" + dir + "/"}
	}},
	{name: "alternates", where: metalinkOf(func(repomd []byte) string {
		return "<size>3</size>" + hashes([]byte("new")) + fmt.Sprintf("<mm0:alternates><mm0:alternate><size>%d</size>%s</mm0:alternate></mm0:alternates>", len(repomd), hashes(repomd))
	})},
	{name: "no-size", where: metalinkOf(hashes)},
	{name: "variables", dir: "variables/30/x86_64", where: func(s *FormServer, _ string, _ []byte) object {
		s.Add("variables/mirrors", []byte("# mirrors\nhttp://"+s.Address+"/variables/gone/$releasever/\nhttp://"+s.Address+"/variables/$releasever/$basearch/\n"))
		return object{"mirrorlist": "http://" + s.Address + "/variables/mirrors"}
	}},
	{name: "encoded", rule: rpmEncoded},
	{name: "twice"},
	{name: "ecwit"},
}

// refusedForms are the forms in which one does not, and what is said of it: the
// text before and after the address of the server.
var refusedForms = []struct {
	rpmForm
	want string
	// dnf says that dnf refuses it as well.
	dnf bool
}{
	{rpmForm{name: "sqlite", FormRepository: FormRepository{Repomd: replaced(`type="(primary|filelists)"`, `type="${1}_db"`)}},
		`: repomd.xml lists no file of type "primary": the repository has no list of its packages but that in SQLite (primary_db), which dnf does not read either`, true},
	{rpmForm{name: "sha1", FormRepository: FormRepository{Kind: "sha"}},
		`: repomd.xml: file of type "primary": the checksum is of kind "sha", which proves nothing any more`, false},
	{rpmForm{name: "another", FormRepository: FormRepository{Kind: "sha512", Repomd: replaced(`sha512">.{128}`, `sha512">`+strings.Repeat("0", 128))}},
		"/another/repodata/primary.xml.gz: the mirror returned another file, or an error page: ", true},
	{rpmForm{name: "another-package", FormRepository: FormRepository{Kind: "sha512"}, lies: func(string) string { return "elsewhere" }, rule: func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, ".rpm") {
			fmt.Fprint(w, "<html>There is no such file.</html>")
			return true
		}
		return false
	}}, "/another-package/1/form-another-package-1-1.noarch.rpm: the mirror returned another file, or an error page: 35 bytes", true},
	{rpmForm{name: "not-encoded", rule: rpmEncoded, FormRepository: FormRepository{Repomd: replaced(`<open-checksum.*</open-checksum>`, "")}},
		`/not-encoded/repodata/primary.xml.gz: the server sends the file with "Content-Encoding: gzip", so that it arrives without its compression`, false},
	{rpmForm{name: "stranger", base: "http://OTHER/pool/"},
		`: the repository says that "form-stranger-1-1.noarch.rpm" lies elsewhere: at "http://OTHER/pool/", and not at the server of the repository, http://ADDRESS; if that server is meant, give`, false},
	{rpmForm{name: "contentdir", where: func(s *FormServer, _ string, _ []byte) object {
		s.Add("contentdir/mirrors", []byte("http://"+s.Address+"/$contentdir/\n"))
		return object{"mirrorlist": "http://" + s.Address + "/contentdir/mirrors"}
	}}, "has no mirror that can be used: there is no variable $contentdir", true},
}

// rpmEncoded is the rule of a server that says of each file that is compressed
// that this was done for the way.
func rpmEncoded(w http.ResponseWriter, r *http.Request) bool {
	if strings.HasSuffix(r.URL.Path, ".gz") {
		w.Header().Set("Content-Encoding", "gzip")
	}
	return false
}

func refuse(w http.ResponseWriter, bad bool) bool {
	if bad {
		http.Error(w, "no access", http.StatusForbidden)
	}
	return bad
}

// inBox runs a program in the toolbox, with /proc and /dev.
func inBox(t testing.TB, box string, args ...string) string {
	t.Helper()
	const script = `box=$1; shift; mount -t proc proc $box/proc && mount --rbind /dev $box/dev && exec chroot $box env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"`
	return output(t, "unshare", append([]string{"--mount", "--propagation", "private", "sh", "-c", script, "sh", box}, args...)...)
}

// buildForms makes the packages of all forms with the toolbox's rpmbuild, into
// one directory for each of two builds that differ in their time and content.
func buildForms(t testing.TB, box string) {
	t.Helper()
	all := slices.Clone(rpmForms)
	for _, f := range refusedForms {
		all = append(all, f.rpmForm)
	}
	for _, b := range []string{"1", "2"} {
		var spec, install strings.Builder
		fmt.Fprintf(&spec, "Name: forms\nVersion: 1\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n%%description\nx\n")
		fmt.Fprintf(&install, "%%install\nmkdir -p %%{buildroot}%s\n", RPMDatabase)
		add := func(name, requires, file string) {
			fmt.Fprintf(&spec, "%%package -n %s\nSummary: x\n%s%%description -n %[1]s\nx\n%%files -n %[1]s\n%[3]s\n", name, requires, file)
		}
		// The distribution's rpm says where the database is.
		add("rpm", "", "%dir "+RPMDatabase)
		for _, f := range all {
			if b == "2" && !f.twice() {
				continue
			}
			dir := "/usr/share/forms/" + f.name
			fmt.Fprintf(&install, "mkdir -p %%{buildroot}%s\necho %s > %%{buildroot}%[1]s/main\necho data > %%{buildroot}%[1]s/data\n", dir, b)
			requires := dir + "/data"
			if f.NoFilelists {
				requires = f.packages()[1]
			}
			add(f.packages()[0], "Requires: "+requires+"\n", dir+"/main")
			add(f.packages()[1], "", dir+"/data")
		}
		if err := os.WriteFile(filepath.Join(box, "trees/forms.spec"), []byte(spec.String()+install.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		inBox(t, box, "SOURCE_DATE_EPOCH="+b+"700000000", "rpmbuild", "-bb", "--quiet", "--define", "_topdir /trees/build", "--define", "_rpmdir /trees/rpms/"+b, "--define", "use_source_date_epoch_as_buildtime 1",
			"--define", "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm", "/trees/forms.spec")
	}
}

// packages are the names of the form's packages.
func (f *rpmForm) packages() []string {
	return []string{"form-" + f.name + f.suffix, "form-" + f.name + "-data" + f.suffix}
}

// twice says whether there are two builds of the packages with one name; which
// one the repository lists first is not the same in both.
func (f *rpmForm) twice() bool { return f.name == "twice" || f.name == "ecwit" }

// add puts the repository on the server and returns how the stage is told of it.
func (f *rpmForm) add(t testing.TB, s *FormServer, box string) object {
	t.Helper()
	r, dir := f.FormRepository, f.dir
	if dir == "" {
		dir = f.name
	}
	files := "/usr/share/forms/" + f.name
	for i, name := range f.packages() {
		file := name + "-1-1.noarch.rpm"
		for _, b := range []string{"1", "2"} {
			data, err := os.ReadFile(filepath.Join(box, "trees/rpms", b, file))
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			p := FormPackage{Name: name, File: data, Location: b + "/" + file, Base: strings.ReplaceAll(f.base, "ADDRESS", s.Address), Build: b + "700000000"}
			if f.place != nil {
				p.Location = f.place(file)
			}
			p.Files = []string{files + [2]string{"/main", "/data"}[i]}
			if i == 0 && f.NoFilelists {
				p.Requires = f.packages()[1]
			} else if i == 0 {
				p.Requires = files + "/data"
			}
			lies := p.Location
			if f.lies != nil {
				lies = f.lies(file)
			}
			s.Add(dir+"/"+lies, data)
			r.Packages = append(r.Packages, p)
		}
	}
	if f.name == "ecwit" {
		slices.Reverse(r.Packages)
	}
	if f.name == "plain" {
		data, err := os.ReadFile(filepath.Join(box, "trees/rpms/1/rpm-1-1.noarch.rpm"))
		if err != nil {
			t.Fatal(err)
		}
		s.Add(dir+"/rpm.rpm", data)
		r.Packages = append(r.Packages, FormPackage{Name: "rpm", File: data, Location: "rpm.rpm", Files: []string{RPMDatabase}})
	}
	repomd, err := s.AddRepository(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	if f.rule != nil {
		s.Rule(f.name, f.rule)
	}
	where := f.where
	if where == nil {
		where = baseurl("", "")
	}
	o := where(s, dir, repomd)
	o["id"], o["gpgcheck"] = f.name, false
	return o
}

// TestRPMForms installs from repositories of all forms at once what plain dnf
// does: the same files and the same packages. In the second build nothing is left
// to do.
func TestRPMForms(t *testing.T) {
	box := toolbox(t)
	buildForms(t, box)
	s, err := StartFormServer()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var repos []any
	var packages []string
	config := ""
	for _, f := range rpmForms {
		o := f.add(t, s, box)
		repos = append(repos, o)
		packages = append(packages, f.packages()[0])
		config += dnfRepository(o)
	}
	m := object{"stages": []any{stage("org.osbuild.dnf", object{"releasever": "30", "basearch": "x86_64", "repos": repos, "packages": packages, "clean": false})}}
	out := t.TempDir()
	p := build(t, "-o", out, "--target", "tree", manifestFile(t, "image.json", m))
	t.Logf("built in %.1f s", p.took.Seconds())
	extract(t, filepath.Join(out, "tree.tar"), filepath.Join(box, "trees/ours"))
	if err := DirectDnfOf(t.Context(), box, "1700000000", config, "", packages...); err != nil {
		t.Fatal(err)
	}
	output(t, "tar", "--format=pax", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-C", filepath.Join(box, DirectTree), "-cf", filepath.Join(out, "direct.tar"), ".")
	ours, direct := readTree(t, filepath.Join(out, "tree.tar"), nil), readTree(t, filepath.Join(out, "direct.tar"), nil)
	rows := func(tree string) []string {
		lines := strings.Split(query(t, box, tree, "-qa", "--qf", "%{NEVRA} %{BUILDTIME} %{SHA256HEADER}\n"), "\n")
		slices.Sort(lines)
		return lines
	}
	oursRows, directRows := rows("ours"), rows("direct")
	for _, f := range rpmForms {
		t.Run(f.name, func(t *testing.T) {
			for _, name := range []string{"main", "data"} {
				file := "usr/share/forms/" + f.name + "/" + name
				if a, b := direct[file], ours[file]; a.Header == nil || b.Header == nil || string(a.Data) != string(b.Data) {
					t.Errorf("/%s holds %q, want %q", file, b.Data, a.Data)
				}
			}
			is := func(row string) bool {
				return strings.HasPrefix(row, f.packages()[0]+"-1-1.") || strings.HasPrefix(row, f.packages()[1]+"-1-1.")
			}
			a, b := keep(directRows, is), keep(oursRows, is)
			if diff := cmp.Diff(a, b); diff != "" || len(a) != 2 {
				t.Errorf("packages (-dnf +ours):\n%s", diff)
			}
		})
	}
	for _, tree := range []map[string]entry{ours, direct} {
		// No package has these: they come with the ways to install.
		for _, name := range []string{"", "run", "tmp", "var/cache", "var/log"} {
			delete(tree, name)
		}
		for name := range tree {
			if allowed.MatchString(name) {
				delete(tree, name)
			}
		}
	}
	if diff := differences(direct, ours, false); len(diff) > 0 {
		t.Errorf("%d differences between dnf's tree and ours:\n%s", len(diff), strings.Join(diff[:min(30, len(diff))], "\n"))
	}
	p = build(t, "-o", t.TempDir(), "--target", "tree", manifestFile(t, "image.json", m))
	if ran := p.ran(); len(ran) > 0 {
		t.Errorf("the second time these ran: %q", ran)
	}
	t.Run("dnf 5", func(t *testing.T) {
		out := t.TempDir()
		p := build(t, "-o", out, "--target", "tree", manifestFile(t, "image.json", dnf5Manifest(t, m["stages"].([]any)...)))
		t.Logf("built in %.1f s", p.took.Seconds())
		extract(t, filepath.Join(out, "tree.tar"), filepath.Join(box, "trees/five"))
		if diff := cmp.Diff(directRows, rows("five")); diff != "" {
			t.Errorf("packages (-dnf +ours with dnf 5):\n%s", diff)
		}
	})
	t.Run("refused", func(t *testing.T) { refusedRPMForms(t, box) })
}

// refusedRPMForms looks at what is said of the forms that do not work.
func refusedRPMForms(t *testing.T, box string) {
	s, err := StartFormServer()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	other, err := StartFormServer()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, f := range refusedForms {
		t.Run(f.name, func(t *testing.T) {
			f.base = strings.ReplaceAll(f.base, "OTHER", other.Address)
			repo := f.add(t, s, box)
			m := object{"stages": []any{stage("org.osbuild.dnf", object{"releasever": "30", "basearch": "x86_64", "repos": []any{repo}, "packages": f.packages()[:1]})}}
			p := startBuild(t, "-o", t.TempDir(), "--target", "tree", manifestFile(t, "image.json", m)).wait()
			want := strings.NewReplacer("ADDRESS", s.Address, "OTHER", other.Address).Replace(f.want)
			if p.code() != 1 || !strings.Contains(p.text(), want) {
				t.Errorf("exit code %d\ngot:\n%s\nwant:\n%s", p.code(), p.text(), want)
			}
			if f.dnf {
				if err := os.RemoveAll(filepath.Join(box, DirectTree)); err != nil {
					t.Fatal(err)
				}
				err := DirectDnfOf(t.Context(), box, "1700000000", dnfRepository(repo), "", f.packages()[0])
				if err == nil || !strings.Contains(err.Error(), "\nError: ") {
					t.Errorf("dnf does not refuse it: %v", err)
				}
			}
		})
	}
	if asked := other.Requests(); len(asked) > 0 {
		t.Errorf("the other server was asked for %q", asked)
	}
}

// dnfRepository is a repository of the stage as it stands in dnf's configuration.
func dnfRepository(o object) string {
	text := fmt.Sprintf("[%s]\nname=%[1]s\ngpgcheck=0\n", o["id"])
	for _, key := range []string{"baseurl", "metalink", "mirrorlist"} {
		if o[key] != nil {
			text += fmt.Sprintf("%s=%s\n", key, o[key])
		}
	}
	return text
}

func keep(list []string, want func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !want(s) })
}
