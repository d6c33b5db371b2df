//go:build e2e

package test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// askReaders asks the programs of a system what they have read, into a file.
// What systemd-tmpfiles is asked to do happens at each boot.
const askReaders = `#!/bin/sh
exec >/etc/NAME.readers 2>&1
unset LC_ALL TZ LANG
echo "su: $(su - -c 'perl -e 1 && locale charmap && echo $LANG')" | tr '\n' ' '; echo
echo "time: $(date -d 2026-01-01T12:00Z '+%Z %H')"
echo "name: $(getent hosts "$(cat /etc/hostname)")"
echo "zone: $(cat /etc/timezone)"
rm -f /etc/console-setup/cached_*
setupcon --save-only
for f in /etc/console-setup/cached_*.kmap.gz; do echo "keys: $(zcat "$f" | grep -E '^keycode +(16|21) = ' | cut -d ' ' -f 4 | tr '\n' ' ')"; done
systemd-tmpfiles --create debian.conf
for f in /etc/vconsole.conf /etc/default/locale /etc/locale.conf; do echo "file: $f -> $(readlink $f) $(grep -E '^(LANG|KEYMAP|XKBLAYOUT)=' $f | tr '\n' ' ')"; done
`

// TestReaders builds a system with its locale, keymap, time zone and name set
// before the packages whose programs read them are there, and set anew after
// that, and asks these programs both times.
func TestReaders(t *testing.T) {
	need(t)
	for _, suite := range []string{suite, olderSuite} {
		t.Run(suite, func(t *testing.T) {
			set := func(name, language, keymap, zone string) []any {
				return []any{
					stage("org.osbuild.locale", object{"language": language}), stage("org.osbuild.keymap", object{"keymap": keymap}),
					stage("org.osbuild.timezone", object{"zone": zone}), stage("org.osbuild.hostname", object{"hostname": name}),
				}
			}
			ask := func(name string) any {
				return stage("org.osbuild.script", object{"script": strings.ReplaceAll(askReaders, "NAME", name)})
			}
			boot := stage("org.osbuildkit.debootstrap", object{"suite": suite})
			apt := stage("org.osbuildkit.apt", object{"packages": []string{"console-setup", "locales", "systemd", "tzdata"}})
			stages := slices.Concat([]any{boot}, set("before", "de_DE.UTF-8", "de-latin1", "Europe/Berlin"), []any{apt, ask("before")},
				set("after", "fr_FR.UTF-8", "fr-latin9", "Asia/Tokyo"), []any{ask("after")})
			dir := t.TempDir()
			p := build(t, "-o", dir, "--target", "tree", manifestFile(t, "readers.json", object{"stages": stages}))
			t.Logf("built in %.1f s", p.took.Seconds())
			tree := readTree(t, filepath.Join(dir, "tree.tar"), nil)
			links := []string{"file: /etc/vconsole.conf -> default/keyboard XKBLAYOUT=", "file: /etc/default/locale -> ../locale.conf LANG="}
			zone := ""
			if suite == olderSuite {
				links = []string{"file: /etc/vconsole.conf ->  KEYMAP=", "file: /etc/default/locale ->  LANG="}
				zone = "zone: "
			}
			// What the keys Q and Y of an American keyboard give: German and French.
			for name, want := range map[string][]string{
				"before": {"su: UTF-8 de_DE.UTF-8", "time: CET 13", "127.0.1.1       before", zone + "Europe/Berlin", "keys: +U+0071 +U+007a "},
				"after":  {"su: UTF-8 fr_FR.UTF-8", "time: JST 21", "127.0.1.1       after", zone + "Asia/Tokyo", "keys: +U+0061 +U+0079 "},
			} {
				text := string(tree["etc/"+name+".readers"].Data)
				if zone == "" {
					want = slices.Delete(want, 3, 4)
				}
				for _, w := range append(want, links...) {
					if !strings.Contains(text, w) {
						t.Errorf("%s: no %q in what the programs say:\n%.4000s", name, w, text)
					}
				}
			}
		})
	}
}
