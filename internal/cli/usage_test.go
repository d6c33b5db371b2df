package cli

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// allCommands calls a function for each command, but those of cobra itself.
func allCommands(t *testing.T, visit func(*cobra.Command)) {
	t.Helper()
	count := 0
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		count++
		cmd.InitDefaultHelpFlag()
		visit(cmd)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk((&app{}).command())
	if count < 12 {
		t.Fatalf("only %d commands", count)
	}
}

// TestUsageHasOneForm checks that the help of all commands looks the same.
func TestUsageHasOneForm(t *testing.T) {
	t.Parallel()
	usage := regexp.MustCompile(`(?m)^Usage:\n  (osbuildkit.*)$`)
	form := regexp.MustCompile(`^osbuildkit( [a-z]+)*( COMMAND| \[flags\]( [A-Z]+(\|-)?| \[[A-Z]+\])*)$`)
	allCommands(t, func(cmd *cobra.Command) {
		var out bytes.Buffer
		cmd.SetOut(&out)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		m := usage.FindStringSubmatch(out.String())
		if m == nil || !form.MatchString(m[1]) {
			t.Errorf("%s: the usage is %q", cmd.CommandPath(), m)
		}
		if cmd.Runnable() && !cmd.HasSubCommands() && cmd.UseLine() != m[1] {
			t.Errorf("%s: cobra says %q", cmd.CommandPath(), cmd.UseLine())
		}
		if !regexp.MustCompile(`^[A-Z][^\n]*[^.\n]$`).MatchString(cmd.Short) {
			t.Errorf("%s: %q is not a line with a capital and without a full stop", cmd.CommandPath(), cmd.Short)
		}
		for line := range strings.Lines(out.String()) {
			if utf8.RuneCountInString(line) > usageWidth+1 {
				t.Errorf("%s: %q is longer than %d columns", cmd.CommandPath(), line, usageWidth)
			}
			if strings.Contains(line, `[="`) || strings.Contains(line, "(default )") || strings.Contains(line, "m0s") {
				t.Errorf("%s: %q is not for people", cmd.CommandPath(), line)
			}
		}
	})
}

// TestFlagsSayWhatTheyDo checks that the text of a flag begins with a verb and that
// its value has a name.
func TestFlagsSayWhatTheyDo(t *testing.T) {
	t.Parallel()
	allCommands(t, func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" || f.Name == "version" {
				return
			}
			value, text := pflag.UnquoteUsage(f)
			if !regexp.MustCompile(`^[a-z]+ `).MatchString(text) || strings.HasSuffix(text, ".") {
				t.Errorf("%s --%s: %q", cmd.CommandPath(), f.Name, text)
			}
			if f.Value.Type() != "bool" && !regexp.MustCompile(`[A-Z]{2,}`).MatchString(value) {
				t.Errorf("%s --%s: the value is called %q", cmd.CommandPath(), f.Name, value)
			}
		})
	})
}

func TestFlagUsages(t *testing.T) {
	t.Parallel()
	fl := pflag.NewFlagSet("", pflag.ContinueOnError)
	fl.String("some", "", "run these `NAMES`, or all")
	fl.Lookup("some").NoOptDefVal = allPipelines
	fl.DurationP("time", "t", 90*60*1e9, "wait this `TIME`")
	fl.Int("part", -1, "take this `NUMBER`")
	fl.Bool("hidden", false, "do nothing")
	fl.Lookup("hidden").Hidden = true
	fl.String("mode", "auto", strings.Repeat("do this ", 12)+"in this `MODE`")
	want := `      --mode MODE      do this do this do this do this do this do this do this do this do this do
                       this do this do this in this MODE (default auto)
      --part NUMBER    take this NUMBER
      --some[=NAMES]   run these NAMES, or all
  -t, --time TIME      wait this TIME (default 90m)`
	if got := flagUsages(fl); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
