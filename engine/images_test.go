package engine

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
)

func TestDivide(t *testing.T) {
	t.Parallel()
	at := func(minute int) time.Time { return time.Date(2026, 1, 2, 3, minute, 0, 0, time.UTC) }
	record := func(size int64, minute int, description string) *client.UsageInfo {
		used := at(minute + 1)
		return &client.UsageInfo{Size: size, CreatedAt: at(minute), LastUsedAt: &used, Description: description}
	}
	root := t.TempDir()
	for _, n := range []imageNote{{"a.json", at(10)}, {"a.json", at(15)}, {"b.json", at(20)}, {"a.json", at(30)}} {
		if err := noteImage(root, n.Image, n.Since); err != nil {
			t.Fatal(err)
		}
	}
	notes, err := readImageNotes(root)
	if err != nil || len(notes) != 3 {
		t.Fatalf("%d notes, %v; two of one image are one", len(notes), err)
	}
	got := divide([]*client.UsageInfo{
		record(1, 5, "before all"), record(10, 10, "[tree 1/2] x"), record(20, 19, "[tree 2/2] x"),
		record(500, 12, "[toolbox 1/2] x"), record(7, 20, "[tree 1/1] x"), record(40, 59, "[assembler 1/1] x"),
	}, notes)
	want := []ImageUsage{
		{Toolbox: true, Size: 500, Records: 1, LastUsed: at(13)},
		{Image: "a.json", Size: 70, Records: 3, LastUsed: at(60)},
		{Image: "b.json", Size: 7, Records: 1, LastUsed: at(21)},
		{Size: 1, Records: 1, LastUsed: at(6)},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// The file of the notes does not grow for ever, and half a line costs itself alone.
func TestImageNotes(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range maxImageNotes + 1 {
		if err := noteImage(root, fmt.Sprint(i), start.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	notes, err := readImageNotes(root)
	if err != nil || len(notes) != maxImageNotes/2 || notes[len(notes)-1].Image != fmt.Sprint(maxImageNotes) {
		t.Fatalf("%d notes, %v", len(notes), err)
	}
	f, err := os.OpenFile(imageNotes(root), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"image":"ha`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := noteImage(root, "last", start); err != nil {
		t.Fatal(err)
	}
	again, err := readImageNotes(root)
	if err != nil || len(again) != len(notes)+1 || again[len(notes)].Image != "last" {
		t.Errorf("%d notes after half a line, %v", len(again), err)
	}
}
