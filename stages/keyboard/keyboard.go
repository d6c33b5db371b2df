// Package keyboard says which keyboard a keymap of the Linux console is for, in
// the words of XKB.
package keyboard

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/editdistance"
)

// Keyboard is a keyboard in the words of XKB.
type Keyboard struct {
	// Model is empty for a common one.
	Model string
	// Layout is one, or several with commas between them.
	Layout string
	// Variant is that of the layout, or of each of several.
	Variant string
}

// Of returns the keyboard of a keymap: that of systemd's table, or the layout
// that the name says, with a variant (us-intl) or a character set (fi-latin1)
// behind it. Listed says that it is that of the table.
func Of(keymap string) (k Keyboard, listed, ok bool) {
	if k, ok := keymaps[keymap]; ok {
		return k, true, true
	}
	layout, variant, _ := strings.Cut(keymap, "-")
	if !slices.Contains(strings.Fields(layouts), layout) {
		return Keyboard{}, false, false
	}
	if set, ok := strings.CutPrefix(variant, "latin"); ok && strings.Trim(set, "0123456789") == "" {
		variant = ""
	}
	return Keyboard{Layout: layout, Variant: variant}, false, true
}

// OfX11 returns the keyboard of layouts such as us or us(intl).
func OfX11(layouts []string) Keyboard {
	var names, variants []string
	for _, l := range layouts {
		name, variant, _ := strings.Cut(strings.TrimSuffix(l, ")"), "(")
		names, variants = append(names, name), append(variants, variant)
	}
	k := Keyboard{Layout: strings.Join(names, ","), Variant: strings.Join(variants, ",")}
	if strings.Trim(k.Variant, ",") == "" {
		k.Variant = ""
	}
	return k
}

// Unknown returns the error for a keymap that Of does not know.
func Unknown(keymap string) error {
	hint, best := "", 3
	for _, name := range slices.Sorted(maps.Keys(keymaps)) {
		if d := editdistance.Distance(keymap, name); d < best && d <= (len(keymap)+2)/3 {
			hint, best = "; did you mean "+name+"?", d
		}
	}
	return fmt.Errorf("nothing says which keyboard the keymap %q is for, and Debian's console asks for that: "+
		"name its layout in \"x11-keymap\" as well, such as {\"layouts\": [\"us(intl)\"]}%s", keymap, hint)
}
