//go:build linux

package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/internal/private"
)

// A store that a checkout brings along must not have root write to files of the
// checkout's choice: the log would be appended to one, and the lock truncates one.
func TestPreparedStore(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, name := range []string{"lock", "engine.log", "images.jsonl", "runtime.json", "limit", "overlay-works", "cache.db"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			store, victim := filepath.Join(dir, "store"), filepath.Join(dir, "victim")
			err := errors.Join(
				os.MkdirAll(filepath.Join(store, private.State), 0o700),
				os.WriteFile(victim, []byte("mine"), 0o600),
				os.Symlink(victim, filepath.Join(store, private.State, name)))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Open(t.Context(), Options{Builder: EmbeddedName, Store: store, Image: "image.json"})
			if err == nil || !strings.Contains(err.Error(), name+" is a link") || !strings.Contains(err.Error(), "remove it, or choose another directory") {
				t.Errorf("error %v", err)
			}
			// The engine's own process looks again: what is there may be new.
			root := filepath.Join(store, private.State)
			if _, err := lockStore(t.Context(), filepath.Join(root, "lock"), holder{}, -1, nil); name == "lock" && err == nil {
				t.Error("the lock behind a link was taken")
			}
			if err := noteImage(root, "image.json", time.Now()); name == "images.jsonl" && err == nil {
				t.Error("an image was noted behind a link")
			}
			if data, err := os.ReadFile(victim); err != nil || string(data) != "mine" {
				t.Errorf("the file elsewhere has %q, %v", data, err)
			}
		})
	}
}
