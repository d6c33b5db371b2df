package treetest

import (
	"testing"
	"time"
)

func TestWriteReadRoundTrip(t *testing.T) {
	t.Parallel()
	want := Tree{
		"etc":          Dir(0o755),
		"etc/shadow":   File("x\n").Perm(0o640).Owner(0, 42),
		"etc/loop":     Link("../etc/loop"),
		"run/fifo":     Fifo(),
		"srv/locked":   Dir(0o555),
		"srv/locked/a": File(""),
	}
	got := Read(t, New(t, want))
	if diff := Diff(want, got); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if _, ok := got["run"]; !ok {
		t.Error("the implied directory run is missing")
	}
	if when := got["etc/shadow"].ModTime; !when.Equal(OldTime) {
		t.Errorf("time is %s, not %s", when, OldTime)
	}
}

func TestDiffsAreSeen(t *testing.T) {
	t.Parallel()
	base := Tree{"a": File("1"), "b": File("2"), "d": Dir(0o755)}
	later := base["a"]
	later.ModTime = OldTime.Add(time.Second)
	for name, other := range map[string]Tree{
		"content": base.With(Tree{"a": File("x")}),
		"mode":    base.With(Tree{"a": File("1").Perm(0o600)}),
		"type":    base.With(Tree{"a": Link("1")}),
		"gone":    base.Without("a"),
		"new":     base.With(Tree{"c": File("")}),
		"time":    base.With(Tree{"a": later}),
	} {
		if name != "time" && Diff(base, other) == "" {
			t.Errorf("%s: Diff sees nothing", name)
		}
		if Unchanged(base, other) == "" {
			t.Errorf("%s: Unchanged sees nothing", name)
		}
		if diff := Unchanged(base, other, "a", "c"); diff != "" {
			t.Errorf("%s: Unchanged does not leave out what is named:\n%s", name, diff)
		}
	}
}
