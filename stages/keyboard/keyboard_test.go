package keyboard

import (
	"slices"
	"strings"
	"testing"
)

// Every keymap of the table is a keyboard whose layouts XKB has.
func TestTable(t *testing.T) {
	t.Parallel()
	known := strings.Fields(layouts)
	for name, k := range keymaps {
		parts := strings.Split(k.Layout, ",")
		for _, l := range parts {
			if !slices.Contains(known, l) {
				t.Errorf("%s: no layout %s", name, l)
			}
		}
		if k.Variant != "" && len(strings.Split(k.Variant, ",")) != len(parts) {
			t.Errorf("%s: %+v", name, k)
		}
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Keyboard{
		"us-intl": {Layout: "us", Variant: "intl"}, "fi-latin1": {Layout: "fi"}, "gb": {Layout: "gb"}, "uk": {Layout: "gb"}, "et": {Layout: "ee"},
		"de-latin1-nodeadkeys": {Layout: "de", Variant: "nodeadkeys"}, "jp106": {Model: "jp106", Layout: "jp"}, "bg_pho-utf8": {Layout: "bg,us", Variant: "phonetic,"},
	} {
		if got, _, ok := Of(name); !ok || got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	for _, name := range []string{"", "-", "mac-us", "defkeymap", "USA", "us_intl"} {
		if got, _, ok := Of(name); ok {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := OfX11([]string{"us(intl)", "cz"}); got != (Keyboard{Layout: "us,cz", Variant: "intl,"}) {
		t.Errorf("%+v", got)
	}
	if err := Unknown("br-abtn2").Error(); !strings.HasSuffix(err, "; did you mean br-abnt2?") || strings.Contains(Unknown("zzzzzz").Error(), "did you mean") {
		t.Error(err)
	}
}
