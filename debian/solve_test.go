package debian

import (
	"fmt"
	"strings"
	"testing"
)

// stanza returns an index entry; fields follow the version as they stand.
func stanza(name, version string, fields ...string) string {
	arch := "amd64"
	var b strings.Builder
	for _, f := range fields {
		if a, ok := strings.CutPrefix(f, "Architecture: "); ok {
			arch = a
			continue
		}
		b.WriteString(f + "\n")
	}
	return fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\n%sFilename: pool/main/%s_%s.deb\nSize: 10\nSHA256: %s\n\n",
		name, version, arch, b.String(), name, strings.ReplaceAll(version, ":", "%3a"), sum(len(name)))
}

func newTestIndex(t testing.TB, text string) *Index {
	t.Helper()
	x := NewIndex("amd64")
	if err := x.Read(0, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestSolve(t *testing.T) {
	t.Parallel()
	required := "Priority: required"
	tests := []struct {
		name  string
		index string
		req   Request
		want  string
		err   string
	}{
		{
			"closure of a priority",
			stanza("base", "1", required, "Pre-Depends: libc", "Depends: tool (>= 2)") + stanza("libc", "3") + stanza("tool", "2.1") + stanza("other", "1"),
			Request{Priorities: []string{"required"}}, "base libc* tool*", "",
		},
		{
			"essential packages are nobody's choice but not automatic",
			stanza("a", "1", "Depends: b") + stanza("b", "1", "Essential: yes"),
			Request{Packages: []string{"a"}}, "a b", "",
		},
		{
			"first alternative that exists",
			stanza("a", "1", "Depends: none | b | c") + stanza("b", "1") + stanza("c", "1"),
			Request{Packages: []string{"a"}}, "a b*", "",
		},
		{
			"alternative that is chosen already, though later in the list",
			stanza("a", "1", "Depends: b | c, z") + stanza("b", "1") + stanza("c", "1") + stanza("z", "1", "Depends: c"),
			Request{Packages: []string{"a"}}, "a c* z*", "",
		},
		{
			"virtual package: most important provider, then name",
			stanza("a", "1", "Depends: mta") + stanza("exim", "1", "Provides: mta", "Priority: optional") + stanza("postfix", "1", "Provides: mta", "Priority: important") + stanza("aaa", "1", "Provides: mta", "Priority: extra"),
			Request{Packages: []string{"a"}}, "a postfix*", "",
		},
		{
			"virtual package that a required package provides",
			stanza("base", "1", required, "Pre-Depends: awk") + stanza("mawk", "1", required, "Provides: awk") + stanza("gawk", "1", "Provides: awk"),
			Request{Priorities: []string{"required"}}, "base mawk", "",
		},
		{
			"versioned Provides satisfies a versioned relation",
			stanza("a", "1", "Depends: v (>= 2)") + stanza("b", "9", "Provides: v") + stanza("c", "1", "Provides: v (= 2.5)"),
			Request{Packages: []string{"a"}}, "a c*", "",
		},
		{
			"architecture qualifiers",
			stanza("a", "1", "Depends: b:any, c:amd64 | d, e:arm64 | f") + stanza("b", "1") + stanza("c", "1") + stanza("e", "1") + stanza("f", "1", "Architecture: all"),
			Request{Packages: []string{"a"}}, "a b* c* f*", "",
		},
		{
			"packages of other architectures do not exist",
			stanza("a", "1", "Depends: b") + stanza("b", "1", "Architecture: arm64"),
			Request{Packages: []string{"a"}}, "", "package a 1 needs b: no repository has such a package",
		},
		{
			"the newest version counts",
			stanza("a", "1", "Depends: old") + stanza("a", "1:0.5") + stanza("a", "2", "Depends: old"),
			Request{Packages: []string{"a"}}, "a", "",
		},
		{
			"circle",
			stanza("a", "1", "Depends: b") + stanza("b", "1", "Depends: a"),
			Request{Packages: []string{"a"}}, "a b*", "",
		},
		{
			"preferred alternative",
			stanza("init", "1", required, "Depends: usrmerge | usr-is-merged") + stanza("usrmerge", "1") + stanza("usr-is-merged", "1"),
			Request{Priorities: []string{"required"}, Prefer: []string{"usr-is-merged"}}, "init usr-is-merged*", "",
		},
		{
			"preferred package shuts out a required one",
			stanza("init", "1", required, "Depends: usrmerge | usr-is-merged") + stanza("usrmerge", "1", required) + stanza("usr-is-merged", "1", "Conflicts: usrmerge"),
			Request{Priorities: []string{"required"}, Prefer: []string{"usr-is-merged"}}, "init usr-is-merged*", "",
		},
		{"misspelt", stanza("nginx", "1"), Request{Packages: []string{"ngnix"}}, "", `there is no package "ngnix" in the repositories; did you mean nginx?`},
		{"virtual name", stanza("x", "1", "Provides: v") + stanza("y", "1", "Provides: v"), Request{Packages: []string{"v"}}, "", "name one of those that provide it: x, y"},
		{"virtual name with one provider", stanza("x", "1", "Provides: v"), Request{Packages: []string{"v"}}, "x", ""},
		{
			"version too old, with the chain",
			stanza("a", "1", "Depends: b") + stanza("b", "2", "Depends: c (>> 3)") + stanza("c", "3"),
			Request{Packages: []string{"a"}}, "", "package b 2 needs c (>> 3): the repositories have c 3 (needed by: a -> b)",
		},
		{
			"conflict",
			stanza("a", "1", "Conflicts: b (<< 2)") + stanza("b", "1"),
			Request{Packages: []string{"a", "b"}}, "", "package a 1 conflicts with b (b (<< 2)); leave one of them out",
		},
		{"broken version is none of ours", stanza("a", "1", "Breaks: b (<< 2)") + stanza("b", "2"), Request{Packages: []string{"a", "b"}}, "a b", ""},
		{"a package may conflict with what it provides", stanza("a", "1", "Conflicts: mta", "Provides: mta"), Request{Packages: []string{"a"}}, "a", ""},
		{"nothing of the priority", stanza("a", "1"), Request{Priorities: []string{"required"}}, "", "no package of priority required in the 1 packages"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			list, err := newTestIndex(t, tt.index).Solve(tt.req)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range list.Packages {
				name := p.Name
				if p.Automatic {
					name += "*"
				}
				got = append(got, name)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %s, want %s", s, tt.want)
			}
		})
	}
}

// The order of an index has no say in the result.
func TestSolveDeterministic(t *testing.T) {
	t.Parallel()
	parts := []string{
		stanza("a", "1", "Depends: v, x | y"), stanza("p", "1", "Provides: v"), stanza("q", "1", "Provides: v"),
		stanza("x", "1", "Depends: y"), stanza("y", "1"), stanza("b", "1", "Depends: y | x"),
	}
	want := ""
	for i := range 20 {
		var text string
		for j := range parts {
			text += parts[(i*5+j*(1+i%2*4))%len(parts)]
		}
		list, err := newTestIndex(t, text).Solve(Request{Packages: []string{"b", "a"}})
		if err != nil {
			t.Fatal(err)
		}
		data, err := list.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = string(data)
		}
		if string(data) != want {
			t.Fatalf("run %d differs:\n%s\n%s", i, data, want)
		}
	}
}

func TestIndexErrors(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"path out", strings.Replace(stanza("a", "1"), "pool/", "../", 1), "no valid path below a mirror"},
		{"absolute path", strings.Replace(stanza("a", "1"), "pool/", "/", 1), "no valid path below a mirror"},
		{"bad name", stanza("a/b", "1"), "no valid name"},
		{"bad version", stanza("a", "1/2"), "no valid version"},
		{"no checksum", strings.Replace(stanza("a", "1"), "SHA256", "MD5sum", 1), "no valid SHA256"},
		{"size", strings.Replace(stanza("a", "1"), "Size: 10", "Size: ten", 1), "field Size"},
		{"no field", "hello\n", "not of the form"},
		{"continuation first", " x\n", "continuation line"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := NewIndex("amd64").Read(0, strings.NewReader(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestRelations(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"a", "a"},
		{"a,b ,  c", "a; b; c"},
		{"a (>= 1.0-2) | b:any, ", "a (>= 1.0-2) | b:any"},
		{"a(<<1:2~rc1)", "a (<< 1:2~rc1)"},
		{"a (< 1), b (> 2)", "a (<= 1); b (>= 2)"},
		{"", ""},
		{"a (1)", "error"},
		{"a (>= )", "error"},
		{"a (>= 1", "error"},
		{"a [amd64]", "error"},
		{"a b", "error"},
		{"a || b", "error"},
		{"../a", "error"},
	}
	for _, tt := range tests {
		rels, err := ParseRelations(tt.in)
		var parts []string
		for _, r := range rels {
			parts = append(parts, r.String())
		}
		got := strings.Join(parts, "; ")
		if err != nil {
			got = "error"
		}
		if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	t.Parallel()
	// Each is older than the next.
	order := []string{"0~~", "0~", "0", "1~rc1-1", "1-1", "1-1+b1", "1+x", "1.0.9", "1.0.10", "1.a", "2-1~deb13u1", "2-1", "1:0.1"}
	for i := range order {
		for j := range order {
			c, err := CompareVersions(order[i], order[j])
			if err != nil {
				t.Fatal(err)
			}
			if (c < 0) != (i < j) || (c > 0) != (i > j) {
				t.Errorf("comparing %s and %s gives %d", order[i], order[j], c)
			}
		}
	}
	if _, err := CompareVersions("abc", "1"); err == nil {
		t.Error("a version without a digit is taken")
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"nginx", "nginx-core", "openssh-server", "vim", "vim-tiny", "zsh"}
	tests := []struct{ in, want string }{
		{"ngnix", "nginx"}, {"nginx-cor", "nginx-core"}, {"openssh-sever", "openssh-server"},
		{"vim-", "vim vim-tiny"}, {"completely-different", ""}, {"", ""},
	}
	for _, tt := range tests {
		if got := strings.Join(Nearest(tt.in, names), " "); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzPackages(f *testing.F) {
	f.Add(stanza("a", "1", "Depends: b | c (>= 1), d:any", "Provides: e (= 1)") + stanza("b", "1", "Conflicts: a"))
	f.Add("Package: a\n continued\n\n# comment\nPackage: b\n")
	f.Add(": x\n")
	f.Fuzz(func(t *testing.T, text string) {
		x := NewIndex("amd64")
		if x.Read(0, strings.NewReader(text)) != nil {
			return
		}
		for _, name := range x.Names() {
			list, err := x.Solve(Request{Packages: []string{name}})
			if err != nil {
				continue
			}
			data, err := list.Encode()
			if err != nil {
				t.Fatalf("a list that cannot be written: %v", err)
			}
			if _, err := ParseList(data); err != nil {
				t.Fatalf("a list that cannot be read again: %v", err)
			}
		}
	})
}

func FuzzParseControl(f *testing.F) {
	f.Add([]byte("Package: a\nDescription: x\n y\n .\n z\n\nPackage: b\n"))
	f.Add([]byte("A:\n b\r\nC: d"))
	f.Fuzz(func(t *testing.T, data []byte) {
		stanzas, err := ParseControl(data)
		if err != nil {
			return
		}
		for _, s := range stanzas {
			again, err := ParseControl([]byte(s.String()))
			if err != nil || len(again) != 1 || len(again[0]) != len(s) {
				t.Fatalf("%q does not survive being written: %q, %v", s, again, err)
			}
		}
	})
}
