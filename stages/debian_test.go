package stages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/tree"
)

// debianOf is a small Debian of a release.
func debianOf(version string) treetest.Tree {
	release := "ID=debian\n"
	if version != "" {
		release += "VERSION_ID=\"" + version + "\"\n"
	}
	return treetest.Tree{"var/lib/dpkg/status": treetest.File(""), "usr/lib/os-release": treetest.File(release), "etc": treetest.Dir(0o755)}
}

// standInLocaledef notes its calls in the archive, and lists what they made.
func standInLocaledef(args []string) int {
	const archive = "/" + localeArchive
	old, err := os.ReadFile(archive)
	if err != nil && !os.IsNotExist(err) {
		fmt.Println(err)
		return 99
	}
	if args[0] == "--list-archive" {
		for line := range strings.Lines(string(old)) {
			f := strings.Fields(line)
			fmt.Println(normalLocale(f[len(f)-1]))
		}
		return 0
	}
	if err := os.WriteFile(archive, []byte(string(old)+strings.Join(args, " ")+"\n"), 0o644); err != nil {
		fmt.Println(err)
		return 99
	}
	return 1 // there were warnings
}

func TestDebianFiles(t *testing.T) {
	t.Parallel()
	file := treetest.File
	for name, c := range map[string]struct {
		tree treetest.Tree
		want debianFiles
	}{
		"rpm":        {treetest.Tree{"usr/lib/os-release": file("ID=fedora\nVERSION_ID=43\n")}, debianFiles{}},
		"bookworm":   {debianOf("12"), debianFiles{is: true}},
		"trixie":     {debianOf("13"), debianFiles{is: true, links: true}},
		"sid":        {debianOf(""), debianFiles{is: true, links: true}},
		"ubuntu":     {debianOf("").With(treetest.Tree{"usr/lib/os-release": file("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n")}), debianFiles{is: true}},
		"derivative": {debianOf("").With(treetest.Tree{"usr/lib/os-release": file("ID=x\n"), debianTmpfiles: file("L+ /etc/vconsole.conf - - - - default/keyboard\n")}), debianFiles{is: true, links: true}},
		"older tmpfiles": {debianOf("13").With(treetest.Tree{debianTmpfiles: file("L+ /etc/mtab - - - - ../proc/self/mounts\n")}),
			debianFiles{is: true}},
		"nothing known": {treetest.Tree{"var/lib/dpkg/status": file("")}, debianFiles{is: true}},
	} {
		root, err := tree.Open(treetest.New(t, c.tree))
		if err != nil {
			t.Fatal(err)
		}
		got, err := debianFilesOf(root)
		root.Close()
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
	}
}

func TestSetVariables(t *testing.T) {
	t.Parallel()
	set := []variable{{"A", "1"}, {"B", "x y"}}
	for _, c := range []struct{ before, after string }{
		{"", "A=\"1\"\nB=\"x y\"\n"},
		{"# A=0\nA=0\nC=3\n", "# A=0\nA=\"1\"\nC=3\nB=\"x y\"\n"},
		{"  B=0\nA=0\nB=2\nAB=3", "B=\"x y\"\nA=\"1\"\nAB=3\n"},
	} {
		got := setVariables(c.before, set)
		if got != c.after {
			t.Errorf("%q: %q, want %q", c.before, got, c.after)
		}
		if again := setVariables(got, set); again != got {
			t.Errorf("%q: doing it twice gives %q", got, again)
		}
		out, err := exec.Command("sh", "-c", got+`printf %s "$A/$B"`).Output()
		if err == nil && string(out) != "1/x y" {
			t.Errorf("%q: a shell reads %s", got, out)
		}
	}
}

func TestKeymapDebian(t *testing.T) {
	t.Parallel()
	file, link := treetest.File, treetest.Link
	const de = `{"keymap": "de-latin1"}`
	keyboard := func(model, layout, variant, options, more string) treetest.Tree {
		text := "# KEYBOARD CONFIGURATION FILE\n\n# Consult the keyboard(5) manual page.\n\nXKBMODEL=\"" + model + "\"\nXKBLAYOUT=\"" + layout +
			"\"\nXKBVARIANT=\"" + variant + "\"\nXKBOPTIONS=\"" + options + "\"\n\nBACKSPACE=\"guess\"\n" + more
		return treetest.Tree{keyboardFile: file(text)}
	}
	us := keyboard("pc105", "us", "", "", "")
	rules := treetest.Tree{xkbRules: file("! model\n  pc105 Generic\n\n! variant\n  intl            us: English (US, intl.)\n  nodeadkeys      de: German\n\n! option\n  intel us: x\n")}
	linked := treetest.Tree{vconsoleFile: link("default/keyboard")}
	runCases(t, "org.osbuild.keymap", []treeCase{
		{name: "12, before console-setup", before: debianOf("12"), options: de,
			after: keyboard("pc105", "de", "", "", "").With(treetest.Tree{vconsoleFile: file("KEYMAP=de-latin1\n")})},
		{name: "12", before: debianOf("12").With(us), options: `{"keymap": "es-dvorak"}`,
			after: keyboard("microsoftpro", "es", "dvorak", "", "").With(treetest.Tree{vconsoleFile: file("KEYMAP=es-dvorak\n")})},
		{name: "13, before systemd", before: debianOf("13"), options: de,
			after: keyboard("pc105", "de", "", "", "KEYMAP=\"de-latin1\"\n").With(linked)},
		{name: "13, the link stays", before: debianOf("13").With(us).With(linked), options: de,
			after: keyboard("pc105", "de", "", "", "KEYMAP=\"de-latin1\"\n")},
		{name: "13, an absolute link stays", before: debianOf("13").With(us).With(treetest.Tree{vconsoleFile: link("/etc/default/keyboard")}), options: de,
			after: keyboard("pc105", "de", "", "", "KEYMAP=\"de-latin1\"\n")},
		{name: "13, a file becomes the link", before: debianOf("13").With(us).With(treetest.Tree{vconsoleFile: file("KEYMAP=us\n")}), options: de,
			after: keyboard("pc105", "de", "", "", "KEYMAP=\"de-latin1\"\n").With(linked)},
		{name: "a link in 12 stays", before: debianOf("12").With(us).With(linked), options: de,
			after: keyboard("pc105", "de", "", "", "KEYMAP=\"de-latin1\"\n")},
		{name: "two layouts", before: debianOf("13").With(keyboard("pc105", "us", "", "ctrl:nocaps,grp:toggle", "")).With(linked), options: `{"keymap": "ru"}`,
			after: keyboard("pc105", "ru,us", "", "ctrl:nocaps,grp:shifts_toggle,grp_led:scroll", "KEYMAP=\"ru\"\n")},
		{name: "options stay", before: debianOf("12").With(keyboard("pc104", "us", "intl", "ctrl:nocaps", "# mine\n")), options: `{"keymap": "gb"}`,
			after: keyboard("pc105", "gb", "", "ctrl:nocaps", "# mine\n").With(treetest.Tree{vconsoleFile: file("KEYMAP=gb\n")})},
		{name: "a keymap that only X11 explains", before: debianOf("12").With(us), options: `{"keymap": "mac-us", "x11-keymap": {"layouts": ["us(mac)", "de"]}}`,
			after: keyboard("pc105", "us,de", "mac,", groupOptions, "").With(treetest.Tree{vconsoleFile: file("KEYMAP=mac-us\n"),
				"etc/X11/xorg.conf.d/00-keyboard.conf": file(strings.Replace(x11Keyboard, "%s", "us(mac),de", 1))})},
		{name: "unknown", before: debianOf("13").With(us), options: `{"keymap": "mac-us"}`, err: "x11-keymap"},
		{name: "a variant", before: debianOf("13").With(us).With(rules), options: `{"keymap": "us-intl"}`, after: keyboard("pc105", "us", "intl", "", "KEYMAP=\"us-intl\"\n").With(linked)},
		{name: "a variant before the list", before: debianOf("13").With(us), options: `{"keymap": "br-dvorak"}`, after: keyboard("pc105", "br", "dvorak", "", "KEYMAP=\"br-dvorak\"\n").With(linked)},
		{name: "no such variant", before: debianOf("13").With(us).With(rules), options: `{"keymap": "us-intel"}`, err: "the layout us has no variant intel in the tree's /usr/share/X11/xkb/rules/base.lst; did you mean us-intl?"},
		{name: "the variant of another layout", before: debianOf("13").With(us).With(rules), options: `{"keymap": "us-nodeadkeys"}`, err: "no variant nodeadkeys"},
		{name: "font", before: debianOf("12").With(us).With(treetest.Tree{
			"usr/share/consolefonts/Lat15-Fixed16.psf.gz": file("x"), consoleSetupFile: file("CHARMAP=\"UTF-8\"\nFONTFACE=\"Fixed\"\n"),
		}), options: `{"keymap": "us", "font": "Lat15-Fixed16"}`, after: treetest.Tree{
			vconsoleFile: file("KEYMAP=us\nFONT=Lat15-Fixed16\n"), consoleSetupFile: file("CHARMAP=\"UTF-8\"\nFONTFACE=\"Fixed\"\nFONT=\"Lat15-Fixed16.psf.gz\"\n"),
			keyboardFile: us[keyboardFile],
		}},
		{name: "a font that comes later", before: debianOf("12").With(us), options: `{"keymap": "us", "font": "eurlatgr"}`, log: "the tree has no font eurlatgr",
			after: treetest.Tree{vconsoleFile: file("KEYMAP=us\nFONT=eurlatgr\n"), consoleSetupFile: file("FONT=\"eurlatgr.psf.gz\"\n"), keyboardFile: us[keyboardFile]}},
		{name: "in the way", before: debianOf("13").With(treetest.Tree{keyboardFile: treetest.Dir(0o755)}), options: de, err: "etc/default/keyboard"},
	})
}

func TestTimezoneDebian(t *testing.T) {
	t.Parallel()
	file := treetest.File
	zones := treetest.Tree{"usr/share/zoneinfo/Europe/Berlin": file("TZif"), zoneNameFile: file("Etc/UTC\n")}
	link := treetest.Tree{"etc/localtime": treetest.Link("../usr/share/zoneinfo/Europe/Berlin")}
	const berlin = `{"zone": "Europe/Berlin"}`
	runCases(t, "org.osbuild.timezone", []treeCase{
		{name: "12", before: zones, options: berlin, after: link.With(treetest.Tree{zoneNameFile: file("Europe/Berlin\n")})},
		{name: "13", before: zones.Without(zoneNameFile), options: berlin, after: link},
		{name: "in the way", before: zones.With(treetest.Tree{zoneNameFile: treetest.Dir(0o755)}), options: berlin, err: "not a regular file"},
		{name: "unknown", before: zones, options: `{"zone": "Europe/Berln"}`, err: "did you mean Europe/Berlin?"},
	})
}

func TestLocaleDebian(t *testing.T) {
	t.Parallel()
	file, link := treetest.File, treetest.Link
	const c = `{"language": "C.UTF-8"}`
	lang := func(name, l string) treetest.Tree { return treetest.Tree{name: file("LANG=" + l + "\n")} }
	down, up := treetest.Tree{localeFile: link("default/locale")}, treetest.Tree{debianLocaleFile: link("../locale.conf")}
	locales := treetest.Tree{"usr/share/i18n/SUPPORTED": file("de_DE.UTF-8 UTF-8\nde_DE ISO-8859-1\nfr_FR.UTF-8 UTF-8\n")}
	const no = "the package locales has no locale"
	runCases(t, "org.osbuild.locale", []treeCase{
		{name: "12", before: debianOf("12"), options: c, after: lang(localeFile, "C.UTF-8").With(lang(debianLocaleFile, "C.UTF-8"))},
		{name: "12, old files", before: debianOf("12").With(lang(debianLocaleFile, "x")), options: c, after: lang(localeFile, "C.UTF-8").With(lang(debianLocaleFile, "C.UTF-8"))},
		{name: "13", before: debianOf("13"), options: c, after: lang(localeFile, "C.UTF-8").With(up)},
		{name: "13, the link stays", before: debianOf("13").With(up).With(lang(localeFile, "x")), options: c, after: lang(localeFile, "C.UTF-8")},
		{name: "13, a file becomes the link", before: debianOf("13").With(lang(debianLocaleFile, "x")), options: c, after: lang(localeFile, "C.UTF-8").With(up)},
		{name: "the other way round", before: debianOf("12").With(down).With(lang(debianLocaleFile, "x")), options: c, after: lang(debianLocaleFile, "C.UTF-8")},
		{name: "the other way round in 13", before: debianOf("13").With(down).With(lang(debianLocaleFile, "x")), options: c, after: lang(debianLocaleFile, "C.UTF-8")},
		{name: "before the package", before: debianOf("13"), options: `{"language": "de_DE.utf8"}`, log: "package locales",
			after: lang(localeFile, "de_DE.utf8").With(up).With(treetest.Tree{localeGenFile: file("de_DE.UTF-8 UTF-8\n")})},
		{name: "before the package, no character set", before: debianOf("13"), options: `{"language": "de_DE"}`, log: "package locales",
			after: lang(localeFile, "de_DE").With(up)},
		{name: "locales-all", before: debianOf("13").With(treetest.Tree{"usr/lib/locale/de_DE.utf8/LC_TIME": file("x")}), options: `{"language": "de_DE.UTF-8"}`,
			after: lang(localeFile, "de_DE.UTF-8").With(up)},
		{name: "no such locale", before: debianOf("13").With(locales), options: `{"language": "de_DD.UTF-8"}`, err: no + " de_DD.UTF-8; did you mean de_DE.UTF-8?"},
		{name: "no localedef", before: debianOf("13").With(locales), options: `{"language": "de_DE.UTF-8"}`, err: "there is no program localedef"},
		{name: "in the way", before: debianOf("13").With(treetest.Tree{debianLocaleFile: treetest.Dir(0o755)}), options: c, err: "is a directory"},
	})
}

// The stage makes the locale with the tree's own program.
func TestLocaleIsMade(t *testing.T) {
	t.Parallel()
	gen := "# This file lists locales\n\n# de_DE ISO-8859-1\n# de_DE.UTF-8 UTF-8\n# fr_FR.UTF-8 UTF-8\n"
	dir := treetest.New(t, debianOf("13").With(treetest.Tree{
		"usr/share/i18n/SUPPORTED": treetest.File("de_DE ISO-8859-1\nde_DE.UTF-8 UTF-8\nfr_FR.UTF-8 UTF-8\n"),
		localeGenFile:              treetest.File(gen), localeDir: treetest.Dir(0o755),
	}))
	standIn(t, dir, "usr/bin/"+localedef)
	run := func(language string) map[string]string {
		if _, err := runStage(t, "org.osbuild.locale", dir, `{"language": "`+language+`"}`); err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, name := range []string{localeGenFile, localeArchive, localeFile} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			out[name] = string(data)
		}
		return out
	}
	got := run("de_DE.UTF-8")
	if want := strings.Replace(gen, "# de_DE.UTF-8", "de_DE.UTF-8", 1); got[localeGenFile] != want {
		t.Errorf("/%s is %q, want %q", localeGenFile, got[localeGenFile], want)
	}
	const call = "-i de_DE -c -f UTF-8 -A /usr/share/locale/locale.alias de_DE.UTF-8\n"
	if got[localeArchive] != call || got[localeFile] != "LANG=de_DE.UTF-8\n" {
		t.Errorf("%q", got)
	}
	if got := run("de_DE.utf8"); got[localeArchive] != call {
		t.Errorf("it is made again: %q", got[localeArchive])
	}
	if got := run("fr_FR.UTF-8"); got[localeArchive] != call+strings.ReplaceAll(call, "de_DE", "fr_FR") {
		t.Errorf("the second: %q", got[localeArchive])
	}
}
