//go:build linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// me is this process as the holder of a store.
var me = holder{PID: os.Getpid(), Command: commandLine(os.Args), Since: time.Now()}

func TestLockWaits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store", "buildkit", "lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	first, err := lockStore(t.Context(), path, me, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	var notices []string
	go func() {
		time.Sleep(noticeAfter + 500*time.Millisecond)
		if err := first.unlock(); err != nil {
			t.Error(err)
		}
	}()
	second, err := lockStore(t.Context(), path, me, time.Minute, func(s string) { notices = append(notices, s) })
	if err != nil {
		t.Fatal(err)
	}
	defer second.unlock()
	want := fmt.Sprintf("held by process %d (%s", os.Getpid(), filepath.Base(os.Args[0]))
	if len(notices) != 1 || !strings.Contains(notices[0], want) || !strings.Contains(notices[0], "/store,") {
		t.Errorf("notices %q, want one that names the store and has %q", notices, want)
	}
}

func TestLockGivesUp(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	first, err := lockStore(t.Context(), path, me, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.unlock()
	_, err = lockStore(t.Context(), path, me, -1, nil)
	if want := fmt.Sprintf("is held by process %d", os.Getpid()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q in it", err, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err = lockStore(ctx, path, me, time.Minute, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
}

// A note that says nothing, or names a process that is gone, names nobody.
func TestLockNote(t *testing.T) {
	t.Parallel()
	for note, want := range map[string]string{
		"":                              "another process",
		"{\"pid\":":                     "another process",
		`{"pid":4194304,"command":"x"}`: "another process",
		fmt.Sprintf(`{"pid":%d,"command":"osbuildkit build a.json","since":"2026-01-02T03:04:05Z"}`, os.Getpid()): "osbuildkit build a.json",
	} {
		path := filepath.Join(t.TempDir(), "lock")
		if err := os.WriteFile(path, []byte(note), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := readNote(f).String(); !strings.Contains(got, want) {
			t.Errorf("note %q names %q, want %q", note, got, want)
		}
		f.Close()
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "unknown"},
		{[]string{"/usr/bin/osbuildkit", "build", "x.json"}, "osbuildkit build x.json"},
		{[]string{"osbuildkit", "build", "x.json", "--secret", "id=a"}, "osbuildkit build x.json …"},
		{[]string{"o", strings.Repeat("ä", 200)}, "o " + strings.Repeat("ä", 118) + "…"},
	} {
		if got := commandLine(tt.args); got != tt.want {
			t.Errorf("commandLine(%q) = %q, want %q", tt.args, got, tt.want)
		}
	}
}
