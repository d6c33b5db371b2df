package docs

import (
	"slices"
	"strings"
	"testing"
)

// exception is a name that a test would find wrong, and that is right.
type exception struct {
	// page is where the name is; "*" stands for all pages, and "" for none: the
	// name need not be in any.
	page, name string
	// why says why it is right. It is never empty.
	why string
}

// exceptions is the table of them. One that nothing needs fails TestExceptions.
var exceptions = []exception{
	{"*", "org.osbuild.hostnam", "is misspelt, to show the error"},
	{"docs/manifest.md", `{"$args": …}`, "is misspelt, to show the error"},
	{"docs/ci.md", "ACTIONS_RUNTIME_TOKEN", "is a variable of GitHub's runner"},
	{"docs/ci.md", "ACTIONS_RESULTS_URL", "is a variable of GitHub's runner"},
	{"docs/compatibility.md", "dockerfile parse error on line 1: unknown instruction: {", "is a message of BuildKit"},
	{"docs/compatibility.md", "… {\"syntax\":", "is a message of BuildKit"},
	{"docs/compatibility.md", "failed to resolve source metadata for …/frontend:1: failed to do request: Head \"https://…\": dial tcp: …", "is a message of BuildKit"},
	{"docs/compatibility.md", "failed to resolve source metadata for …: …: not found", "is a message of BuildKit"},
	{"docs/compatibility.md", "'osbuildkit/frontend' is not an allowed gateway source", "is a message of BuildKit"},
	{"docs/compatibility.md", "invalid frontend: gateway.v0", "is a message of BuildKit"},
	{"docs/compatibility.md", "current frontend does not support --build-context", "is a message of buildx"},
	{"docs/compatibility.md", "secret NAME: not found", "is a message of BuildKit"},
	{"docs/compatibility.md", "it begins with !, as a locked password does, …", "has the first character of a password in it"},
	{"docs/compatibility.md", "Connection refused", "is a message of the system"},
	{"docs/compatibility.md", "DOCKER_BUILDKIT", "is a variable of docker build"},
	{"docs/machine.md", "MY_HOSTID", "is a variable of a Debian package's script"},
	{"docs/machine.md", "GRUB_ENABLE_BLSCFG", "is a variable of GRUB's configuration"},
	{"docs/benchmarks.md", "fastEncoder.Encode", "is a function of the library for zstd"},
	{"docs/kubernetes.md", "DataVolume", "is a kind of resource of KubeVirt"},
	{"docs/releasing.md", "PartitionOutsideDisk", "is a rule that is gone, in the notes for the next release"},
	{"", "BUILDKIT_SESSION_ID", "is set by BuildKit for frontends"},
	{"", "ENGINE_TEST_ROLE", "is set by a test for a process of its own"},
	{"", "USERNET_TEST_INSIDE", "is set by a test for a process of its own"},
	{"", "OSBUILDKIT_TEST_BOUND", "is set by a test for a process of its own"},
	{"", "OSBUILDKIT_TEST_BOOT", "is set by a test for a process of its own"},
	{"", "OSBUILDKIT_TEST_NO_HUGE_PAGES", "is set by a test for a process of its own"},
	{"", "OSBUILDKIT_TEST_PROGRAM", "is set by a test for a process of its own"},
}

// contains reports whether a page has a text, whatever its spaces.
func contains(p *page, text string) bool {
	fields := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	return strings.Contains(fields(string(p.source)), fields(text))
}

// excepted reports whether a name on a page is in the table.
func excepted(page, name string) bool {
	return slices.ContainsFunc(exceptions, func(e exception) bool {
		return (e.page == page || e.page == "*" && page != "") && e.name == name
	})
}

// TestExceptions keeps the table short.
func TestExceptions(t *testing.T) {
	t.Parallel()
	for _, e := range exceptions {
		if e.why == "" {
			t.Errorf("%+v: say why", e)
		}
		if e.page != "" && !slices.ContainsFunc(pages(t), func(p *page) bool {
			return (p.name == e.page || e.page == "*") && contains(p, e.name)
		}) {
			t.Errorf("%+v: no such page has it any more: take it out", e)
		}
	}
}
