package lint

import (
	"fmt"
	"strings"
)

// generated is the first line of a page.
const generated = "<!-- Made from lint/rules.go by \"go generate ./lint\"; do not edit. -->\n"

// Page returns the page about a rule, as Markdown.
func (r *Rule) Page() string {
	return generated + fmt.Sprintf("# %s\n\n%s.\n\n%s\n\nBad:\n\n```json\n%s\n```\n\nGood:\n\n```json\n%s\n```\n\n[All rules, and how to skip one](README.md)\n",
		r.Name, r.Summary, r.Why, r.Bad, r.Good)
}

// Index returns the page that lists the rules, as Markdown.
func Index() string {
	var b strings.Builder
	b.WriteString(generated)
	b.WriteString(indexText)
	b.WriteString("\n## Rules\n\n| rule | |\n| --- | --- |\n")
	for _, r := range rules {
		fmt.Fprintf(&b, "| [%s](%s.md) | %s |\n", r.Name, r.Name, strings.ReplaceAll(r.Summary, "|", "\\|"))
	}
	return b.String()
}

const indexText = `# Checks

This page lists the warnings of ` + "`osbuildkit check`" + ` and of builds. A valid manifest may still not do what you want: it builds something else
tomorrow, its system is open to everybody or does not boot, a part of it has no effect. Warnings stop no build unless you ask for that.

` + "```console" + `
$ osbuildkit check image.json
$ osbuildkit check --skip UnpinnedRepository,MutableURL image.json
$ osbuildkit check --error image.json
$ docker buildx build --check -f image.json .
` + "```" + `

The first three check without a builder. ` + "`--skip all`" + ` leaves out all rules, ` + "`--error`" + ` exits with 1 if there is a finding, and ` + "`--rules`" + `
lists the rules. An invalid manifest exits with 2, as everywhere. The last one asks the frontend, and exits with 1 if there is a finding or
an error.

## During a build

Every build shows the findings as warnings at its end. As in a Dockerfile, a line ` + "`# check=`" + ` before the JSON says what is left out
(a manifest that has such a line also needs the line ` + "`# syntax=`" + `, not the key), and a build argument of the same syntax takes its place:

` + "```" + `
# syntax=osbuildkit/frontend:1
# check=skip=UnpinnedRepository;error=true
{ "stages": [] }
` + "```" + `

` + "```console" + `
$ docker buildx build --build-arg BUILDKIT_DOCKERFILE_CHECK=skip=UnpinnedRepository -f image.json -o out .
$ osbuildkit build --build-arg 'BUILDKIT_DOCKERFILE_CHECK=skip=UnpinnedRepository;error=true' image.json
` + "```" + `

` + "`skip=A,B`" + ` leaves out rules, ` + "`skip=all`" + ` all of them. With ` + "`error=true`" + ` the build fails, before anything is run, if there is a finding.
` + "`osbuildkit check`" + ` reads the line and the argument as well, and exits with 1 where such a build fails. A rule that does not exist is an error,
but in an argument that comes by buildx, which may be for Dockerfiles too: there it is a warning.
`
