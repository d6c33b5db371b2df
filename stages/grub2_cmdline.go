package stages

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// cmdline returns the kernel's command line of an entry as words of grub's
// script language.
func (o *Grub2Options) cmdline(e bootEntry) string {
	own := "root=" + o.rootSpec()
	if opts := " " + o.KernelOpts + " "; !strings.Contains(opts, " ro ") && !strings.Contains(opts, " rw ") {
		own += " ro"
	}
	own = strings.TrimSpace(own + " " + o.KernelOpts)
	before, entry, after := own, []string(nil), ""
	if e.own {
		entry = cmdlineWords(e.options)
		names := func(w string) bool { return grubVariable(w) == "kernelopts" }
		switch {
		case slices.ContainsFunc(entry, names):
			at := slices.IndexFunc(entry, names)
			return o.grubWords(slices.Concat(o.resolved(e, entry[:at]), cmdlineWords(own), o.resolved(e, entry[at+1:])))
		case slices.ContainsFunc(entry, func(w string) bool { return strings.HasPrefix(w, "root=") }):
			if before = ""; !strings.Contains(" "+e.options+" ", " "+o.KernelOpts+" ") {
				after = o.KernelOpts
			}
		}
	}
	return o.grubWords(slices.Concat(cmdlineWords(before), o.resolved(e, entry), cmdlineWords(after)))
}

// grubVariableForm is how grub's script language writes one.
var grubVariableForm = regexp.MustCompile(`^\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})$`)

// grubVariable returns the name of the variable that a word is, or "".
func grubVariable(w string) string {
	m := grubVariableForm.FindStringSubmatch(w)
	if m == nil {
		return ""
	}
	return m[1] + m[2]
}

// ignitionVariable holds what tells the kernel of the first boot.
const ignitionVariable = "ignition_firstboot"

// resolved leaves the variables out that words of an entry are: they are those
// of the distribution's tools, such as $tuned_params, and nothing sets them here.
func (o *Grub2Options) resolved(e bootEntry, words []string) []string {
	var out []string
	for _, w := range words {
		if name := grubVariable(w); name == "" {
			out = append(out, w)
		} else if name != "kernelopts" && name != ignitionVariable {
			o.note("/%s/%s.conf: nothing sets %s of its options, so it is left out", blsDir, e.id, w)
		}
	}
	return out
}

// grubWords writes the words of a command line. A word of the manifest that
// begins with $ is as good as any other.
func (o *Grub2Options) grubWords(list []string) string {
	var words []string
	for _, w := range list {
		if o.Ignition && grubVariable(w) == ignitionVariable {
			continue // it comes at the end
		}
		words = append(words, grubQuote(w))
	}
	if o.Ignition {
		words = append(words, "$"+ignitionVariable)
	}
	return strings.Join(words, " ")
}

// note tells something once for the log.
func (o *Grub2Options) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(o.notes, text) {
		o.notes = append(o.notes, text)
	}
}

// cmdlineWords splits a kernel command line at spaces outside double quotes
// and takes the quotes away; grub puts them back around a word with spaces.
func cmdlineWords(s string) []string {
	var words []string
	var b strings.Builder
	in, quoted := false, false
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"':
			in, quoted = true, !quoted
		case (c == ' ' || c == '\t' || c < ' ') && !quoted:
			if in {
				words = append(words, b.String())
				b.Reset()
				in = false
			}
		default:
			in = true
			b.WriteByte(c)
		}
	}
	if in {
		words = append(words, b.String())
	}
	return words
}
