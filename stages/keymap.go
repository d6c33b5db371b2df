package stages

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// KeymapOptions are the options of org.osbuild.keymap.
type KeymapOptions struct {
	// The keyboard layout of the console, such as us or de-latin1. Debian's
	// console has no keymaps by name: there the stage says in
	// /etc/default/keyboard which keyboard it is for.
	Keymap string `json:"keymap" jsonschema:"required,minLength=1,maxLength=127,pattern=^[A-Za-z0-9][A-Za-z0-9_.+-]*$"`
	// The keyboard of graphical systems. Without it nothing is said about it,
	// but that X11 in Debian has the keyboard of the console.
	X11Keymap *X11Keymap `json:"x11-keymap,omitempty"`
	// The font of the console, such as eurlatgr.
	Font string `json:"font,omitempty" jsonschema:"minLength=1,maxLength=127,pattern=^[A-Za-z0-9][A-Za-z0-9_.+-]*$"`
}

// X11Keymap is the keyboard of graphical systems.
type X11Keymap struct {
	// The layouts, such as us or cz, the first of which is active at first.
	Layouts []string `json:"layouts" jsonschema:"required,minItems=1"`
}

// keymapStage writes etc/vconsole.conf anew and, if asked to, the file in
// which localectl keeps the keyboard of X11. Osbuild removes the first before
// it looks at the name; here a bad name changes nothing. Whether the tree has
// the keymap is not looked at, as a later stage may install it. In a tree of
// Debian etc/default/keyboard is written, see keymap_debian.go.
var keymapStage = module.Module{
	Name:    "org.osbuild.keymap",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "set the layout of the keyboard",
	Options: optionsOf[KeymapOptions],
	Check:   checkOf[KeymapOptions],
	Run:     runOf(runKeymap),
}

// xkbLayout is a layout of X11, also with a variant, as in us(intl).
var xkbLayout = regexp.MustCompile(`^[A-Za-z0-9_-]{2,}([(][A-Za-z0-9_-]+[)])?$`)

func (o *KeymapOptions) check() []module.Problem {
	problems := checkWord("/keymap", o.Keymap, "the name of a keymap", "_.+-")
	if o.Font != "" {
		problems = append(problems, checkWord("/font", o.Font, "the name of a font", "_.+-")...)
	}
	if x := o.X11Keymap; x != nil {
		if len(x.Layouts) == 0 {
			problems = append(problems, module.Problem{Pointer: "/x11-keymap/layouts", Message: "name at least one layout"})
		}
		for i, l := range x.Layouts {
			if !xkbLayout.MatchString(l) {
				problems = append(problems, module.Problem{
					Pointer: fmt.Sprintf("/x11-keymap/layouts/%d", i),
					Message: quote(l) + " is not a keyboard layout, such as us",
				})
			}
		}
	}
	return sortProblems(problems)
}

const x11Keyboard = `# Written by org.osbuild.keymap; change it with localectl(1).
Section "InputClass"
        Identifier "system-keyboard"
        MatchIsKeyboard "on"
        Option "XkbLayout" "%s"
EndSection
`

func runKeymap(in *module.Input, t *tree.Root, o *KeymapOptions) error {
	const x11 = "etc/X11/xorg.conf.d/00-keyboard.conf"
	debian, err := debianFilesOf(t)
	if err != nil {
		return err
	}
	files := []editFile{o.vconsole()}
	if debian.is {
		if files, err = o.debianFiles(in, t, debian); err != nil {
			return err
		}
	}
	if o.X11Keymap != nil {
		files = append(files, editFile{name: x11, text: fmt.Sprintf(x11Keyboard, strings.Join(o.X11Keymap.Layouts, ","))})
	}
	return writeAll(in, t, files)
}

// vconsole is etc/vconsole.conf as a file of its own.
func (o *KeymapOptions) vconsole() editFile {
	text := "KEYMAP=" + o.Keymap + "\n"
	if o.Font != "" {
		text += "FONT=" + o.Font + "\n"
	}
	return editFile{name: vconsoleFile, text: text, renew: true}
}
