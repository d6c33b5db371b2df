package cli

import (
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// resolve finds the command that the arguments name, before any flag is read:
// that a flag is unknown is not what is wrong if the command is. A manifest in
// the place of a command is built, so that one can be a program with #!.
func resolve(root *cobra.Command, args []string) ([]string, error) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	cmd := root
	for i, arg := range args {
		if strings.HasPrefix(arg, "-") {
			return args, nil // a flag of what was found so far
		}
		next := childOf(cmd, arg)
		switch {
		case next == nil && cmd == root && isManifest(arg):
			return append([]string{"build"}, args...), nil
		case next == nil:
			return args, unknownCommand(cmd, arg)
		case !next.HasSubCommands() || next.Name() == "help" || i+1 == len(args):
			return args, nil
		}
		cmd = next
	}
	return args, nil
}

// childOf returns the command of a name below another one, nil if there is none.
func childOf(cmd *cobra.Command, name string) *cobra.Command {
	for _, c := range cmd.Commands() {
		if c.Name() == name || c.HasAlias(name) {
			return c
		}
	}
	if !cmd.HasParent() && strings.HasPrefix(name, cobra.ShellCompRequestCmd) {
		return &cobra.Command{Use: name} // what the shell's completion asks
	}
	return nil
}

// isManifest tells a file from a command that was misspelt: it has a name as
// manifests have, or a directory in it, or it is there.
func isManifest(name string) bool {
	if strings.HasSuffix(name, ".json") || strings.ContainsAny(name, pathSeparators) {
		return true
	}
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular()
}

// noCommand is for commands that only have others below them.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	return nil
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			names = append(names, c.Name())
		}
	}
	if near := manifest.Nearest(name, names); near != "" {
		return usageError("unknown command %q; did you mean '%s %s'?", cmd.CommandPath()+" "+name, cmd.CommandPath(), near)
	}
	return usageError("unknown command %q; '%s --help' lists the commands", cmd.CommandPath()+" "+name, cmd.CommandPath())
}

// flagError names the flag that may have been meant.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := manifest.Nearest(unknown.GetSpecifiedName(), names); near != "" && unknown.GetSpecifiedShortnames() == "" {
			return usageError("%w; did you mean --%s?", err, near)
		}
		return usageError("%w; '%s --help' lists the flags", err, cmd.CommandPath())
	}
	return &exitError{code: exitInvalid, err: err}
}

// helpCommand is cobra's, but that it knows what is no command.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help for a command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd := root
			for _, name := range args {
				next := childOf(cmd, name)
				if next == nil {
					return unknownCommand(cmd, name)
				}
				cmd = next
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, c := range root.Commands() {
				if len(args) == 0 && c.IsAvailableCommand() {
					names = append(names, c.Name())
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}
