package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Commands returns the command line as a tree of commands, for what documents it.
func Commands() *cobra.Command {
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
	root := a.command()
	root.InitDefaultCompletionCmd()
	var prepare func(*cobra.Command)
	prepare = func(cmd *cobra.Command) {
		cmd.InitDefaultHelpFlag()
		cmd.InitDefaultVersionFlag()
		for _, sub := range cmd.Commands() {
			prepare(sub)
		}
	}
	prepare(root)
	return root
}

// Reference returns the page about all commands and their flags, as Markdown.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(referenceText)
	var write func(*cobra.Command)
	write = func(cmd *cobra.Command) {
		writeCommand(&b, cmd)
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				write(sub)
			}
		}
	}
	write(Commands())
	return []byte(b.String())
}

const referenceText = `<!-- Made from the commands of internal/cli by "go generate ./..."; do not edit. -->
# Commands and flags

This page lists every command with its flags, as ` + "`osbuildkit COMMAND --help`" + ` prints them.
All commands also take ` + "`--help`" + `.
[command-line.md](command-line.md) says what scripts can rely on: exit codes, JSON, the environment, the names of files.
`

// writeCommand writes the section about one command.
func writeCommand(b *strings.Builder, cmd *cobra.Command) {
	about := cmd.Long
	if about == "" || cmd.HasParent() && cmd.Parent().Name() == "completion" {
		about = cmd.Short + "." // what cobra says there at length is for other systems too
	}
	about, _, _ = strings.Cut(about, exitHelp)
	fmt.Fprintf(b, "\n## %s\n\n", cmd.CommandPath())
	if cmd.Runnable() && !cmd.HasAvailableSubCommands() {
		fmt.Fprintf(b, "```\n%s\n```\n\n", cmd.UseLine())
	}
	b.WriteString(escapeText(strings.TrimSpace(about)) + "\n")
	head := false
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if !head {
			b.WriteString("\n| flag | |\n| --- | --- |\n")
			head = true
		}
		form, text := flagForm(f)
		form = "`" + form + "`"
		if f.Shorthand != "" {
			form = "`-" + f.Shorthand + "`, " + form
		}
		fmt.Fprintf(b, "| %s | %s |\n", form, strings.ReplaceAll(escapeText(text), "|", "\\|"))
	})
}

// escapeText writes plain text as Markdown.
func escapeText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "<", `\<`, "[", `\[`, "]", `\]`, "`", "\\`").Replace(s)
}
