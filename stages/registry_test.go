package stages

import (
	"slices"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/module"
)

func TestRegistry(t *testing.T) {
	t.Parallel()
	var names []string
	for _, m := range Modules() {
		names = append(names, m.Name)
		if m.Kind != module.Stage || m.Group != module.GroupStages || m.Run == nil || m.Internal() != (m.Name == OSTreeFetch || m.Name == CopyContext) || !m.Internal() && m.Options() == nil {
			t.Errorf("%s is not complete: %+v", m.Name, m)
		}
		if m.Summary == "" || strings.HasSuffix(m.Summary, ".") || strings.Contains(m.Summary, "\n") {
			t.Errorf("%s: the summary %q is not one line without a full stop", m.Name, m.Summary)
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("the names are not sorted or not unique: %q", names)
	}
}
