package stages

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// testEpoch is the time of the build in tests: day 18518.
const testEpoch = 1_600_000_000

// runStage runs a stage on the tree in dir and returns its log.
func runStage(t *testing.T, name, dir, options string) (string, error) {
	t.Helper()
	return runStageIn(t, name, dir, t.TempDir(), options)
}

func runStageIn(t *testing.T, name, dir, buildRoot, options string) (string, error) {
	t.Helper()
	return runInput(t, name, &module.Input{Tree: dir, BuildRoot: buildRoot, Options: json.RawMessage(options)})
}

// runStageWith runs a stage that has inputs.
func runStageWith(t *testing.T, name, dir string, inputs map[string]string, options string) (string, error) {
	t.Helper()
	return runInput(t, name, &module.Input{Tree: dir, Inputs: inputs, Options: json.RawMessage(options)})
}

func runInput(t *testing.T, name string, in *module.Input) (string, error) {
	t.Helper()
	m := module.Find(Modules(), name)
	if m == nil {
		t.Fatalf("there is no stage %s", name)
	}
	var log bytes.Buffer
	in.Epoch, in.Log = testEpoch, &log
	err := m.Run(context.Background(), in)
	return log.String(), err
}

// treeCase is a row of a table test: a tree, options, and what changes.
type treeCase struct {
	name    string
	before  treetest.Tree
	options string
	// after holds what is new or different, gone what is no longer there.
	after treetest.Tree
	gone  []string
	// err is a part of the error; then nothing may have changed.
	err string
	// log is a part of the log.
	log string
	// inputs are directories by name.
	inputs map[string]string
}

// withInputs gives all cases the same inputs.
func withInputs(inputs map[string]string, cases []treeCase) []treeCase {
	for i := range cases {
		cases[i].inputs = inputs
	}
	return cases
}

func runCases(t *testing.T, stage string, cases []treeCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := treetest.New(t, c.before)
			before := treetest.Read(t, dir)
			log, err := runInput(t, stage, &module.Input{Tree: dir, BuildRoot: t.TempDir(), Inputs: c.inputs, Options: json.RawMessage(c.options)})
			after := treetest.Read(t, dir)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want one with %q", err, c.err)
				}
				if diff := treetest.Unchanged(before, after); diff != "" {
					t.Errorf("the stage failed and changed the tree (-want +got):\n%s", diff)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(log, c.log) {
				t.Errorf("log %q, want one with %q", log, c.log)
			}
			if diff := treetest.Diff(c.before.With(c.after).Without(c.gone...), after); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			but := c.gone
			for name := range c.after {
				but = append(but, name)
			}
			for name := range after {
				if _, old := before[name]; !old {
					but = append(but, name)
				}
			}
			if diff := treetest.Unchanged(before, after, but...); diff != "" {
				t.Errorf("the stage touched more than it should (-want +got):\n%s", diff)
			}
		})
	}
}

// checkCase is a row of a table test of Check.
type checkCase struct {
	options string
	// want holds "pointer: message part" for each problem.
	want []string
}

func runChecks(t *testing.T, stage string, cases []checkCase) {
	t.Helper()
	m := module.Find(Modules(), stage)
	for _, c := range cases {
		var got []string
		for _, p := range m.Check(json.RawMessage(c.options)) {
			got = append(got, p.Pointer+": "+p.Message)
		}
		ok := len(got) == len(c.want)
		for i := range min(len(got), len(c.want)) {
			pointer, part, _ := strings.Cut(c.want[i], ": ")
			ok = ok && strings.HasPrefix(got[i], pointer+": ") && strings.Contains(got[i], part)
		}
		if !ok {
			t.Errorf("%s:\n got %q\nwant %q", c.options, got, c.want)
		}
	}
}

func readTestTable(t *testing.T, dir string) *table {
	t.Helper()
	root, err := tree.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tab, err := readTable(root, "f", 3)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}
