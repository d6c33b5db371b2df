package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageWidth is the number of columns that help takes.
const usageWidth = 100

// setUsage gives a command and those below it one form of help.
func setUsage(root *cobra.Command) {
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := io.WriteString(cmd.OutOrStderr(), usageText(cmd))
		return err
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n%s", about(cmd), usageText(cmd))
	})
}

// usageText says how a command is called, with what is below it and its flags.
// Flags come before arguments, and words in capitals are to be replaced.
func usageText(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:\n  %s\n", usageLine(cmd))
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() || c.Name() == "help" {
				fmt.Fprintf(&b, "  %-*s %s\n", c.NamePadding(), c.Name(), c.Short)
			}
		}
	}
	if cmd.HasAvailableLocalFlags() {
		fmt.Fprintf(&b, "\nFlags:\n%s\n", flagUsages(cmd.LocalFlags()))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n'%s COMMAND --help' says more about a command.\n", cmd.CommandPath())
	}
	return b.String()
}

// about says what a command does, in lines that are not too long.
func about(cmd *cobra.Command) string {
	if cmd.Long == "" {
		return cmd.Short + "."
	}
	var lines []string
	for line := range strings.Lines(cmd.Long) {
		line = strings.TrimRight(line, "\n ")
		if !strings.HasPrefix(line, " ") {
			line = fill(line, 0, 0)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// fill breaks a text into lines that begin at a column, the first at another one.
func fill(text string, first, column int) string {
	var b strings.Builder
	at := first
	for i, word := range strings.Fields(text) {
		size := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+size > usageWidth:
			b.WriteString("\n" + strings.Repeat(" ", column))
			at = column
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += size
	}
	return b.String()
}

// usageLine says how a command is called.
func usageLine(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return cmd.CommandPath() + " COMMAND"
	}
	_, args, _ := strings.Cut(cmd.Use, " ")
	return strings.TrimSpace(cmd.CommandPath() + " [flags] " + strings.TrimLeft(strings.TrimPrefix(args, "[flags]"), " "))
}

// flagUsages lists flags, each with what it does and its default.
func flagUsages(flags *pflag.FlagSet) string {
	type line struct{ form, text string }
	var lines []line
	width := 0
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		form, text := flagForm(f)
		if f.Shorthand != "" {
			form = "  -" + f.Shorthand + ", " + form
		} else {
			form = "      " + form
		}
		lines = append(lines, line{form, text})
		width = max(width, len(form)+3)
	})
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%-*s%s\n", width, l.form, fill(l.text, width, width))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// flagForm is how a flag is written, with the name of its value, and what it does,
// with its default.
func flagForm(f *pflag.Flag) (form, text string) {
	value, text := pflag.UnquoteUsage(f)
	form = "--" + f.Name
	switch {
	case value == "":
	case f.NoOptDefVal != "":
		form += "[=" + value + "]"
	default:
		form += " " + value
	}
	switch f.Name {
	case "help":
		text = "show this help"
	case "version":
		text = "show the version"
	}
	if d := defaultText(f); d != "" {
		text += " (default " + d + ")"
	}
	return form, text
}

// defaultText is the default of a flag for people, "" where there is none.
func defaultText(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "false", "[]", "0", "0s", "-1":
		return ""
	}
	if f.Value.Type() != "duration" {
		return f.DefValue
	}
	d, err := time.ParseDuration(f.DefValue)
	if err == nil && d%time.Minute == 0 {
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return f.DefValue
}
