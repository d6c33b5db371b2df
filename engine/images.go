package engine

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/osbuildkit/osbuildkit/internal/private"
)

// imageNote says that an engine was opened to build an image. One engine at a
// time has the store, so the records that were made from then on, up to the next
// note, are those of the image.
type imageNote struct {
	Image string    `json:"image"`
	Since time.Time `json:"since"`
}

// imageNotes is the file of the notes, one JSON object in a line, the oldest
// first.
func imageNotes(root string) string { return filepath.Join(root, "images.jsonl") }

// maxImageNotes bounds the file: the oldest notes go. A note has a path, which the
// kernel bounds to 4096 bytes, each of which JSON may write as six.
const (
	maxImageNotes = 2000
	maxImageText  = maxImageNotes * 32 << 10
)

// noteImage adds a note, unless it is that of the last one.
func noteImage(root, image string, now time.Time) error {
	notes, err := readImageNotes(root)
	if err != nil {
		return err
	}
	if n := len(notes); n > 0 && notes[n-1].Image == image {
		return nil
	}
	notes = append(notes, imageNote{image, now})
	if len(notes) <= maxImageNotes {
		line, err := json.Marshal(notes[len(notes)-1])
		if err != nil {
			return err
		}
		f, err := private.OpenFile(imageNotes(root), os.O_WRONLY|os.O_CREATE|os.O_APPEND)
		if err != nil {
			return err
		}
		// A line that a killed process has not finished ends here.
		_, err = f.Write(slices.Concat([]byte("\n"), line))
		return errors.Join(err, f.Close())
	}
	var text bytes.Buffer
	for _, n := range notes[len(notes)-maxImageNotes/2:] {
		line, err := json.Marshal(n)
		if err != nil {
			return err
		}
		text.Write(line)
		text.WriteByte('\n')
	}
	// It appears whole or not at all.
	if err := private.WriteFile(imageNotes(root)+".new", text.Bytes()); err != nil {
		return err
	}
	return os.Rename(imageNotes(root)+".new", imageNotes(root))
}

// readImageNotes reads the notes; a line that cannot be read is left out.
func readImageNotes(root string) ([]imageNote, error) {
	data, err := private.ReadFile(imageNotes(root), maxImageText)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var notes []imageNote
	for line := range bytes.Lines(data) {
		var n imageNote
		if json.Unmarshal(line, &n) == nil && n.Image != "" {
			notes = append(notes, n)
		}
	}
	return notes, nil
}

// ImageUsage is the part of the build cache that the builds of one image have
// made. What several images need belongs to the one that was built first.
type ImageUsage struct {
	// Image is Options.Image; empty for what no known build has made.
	Image string
	// Toolbox marks the records of the default build root, which all images share.
	Toolbox bool
	// Size is in bytes.
	Size int64
	// Records counts the records.
	Records int
	// LastUsed is the last use of any of them; zero if there was none.
	LastUsed time.Time
}

// toolboxPrefix begins the descriptions of the toolbox's records.
const toolboxPrefix = "[toolbox "

// Usage divides the records that DiskUsage has listed among the images that were
// built, the largest first. A daemon knows no images.
func (e *Engine) Usage(records []*client.UsageInfo) ([]ImageUsage, error) {
	if e.process == nil {
		return nil, nil
	}
	notes, err := readImageNotes(e.process.root)
	if err != nil {
		return nil, err
	}
	return divide(records, notes), nil
}

func divide(records []*client.UsageInfo, notes []imageNote) []ImageUsage {
	type key struct {
		image   string
		toolbox bool
	}
	sums := map[key]*ImageUsage{}
	for _, r := range records {
		var k key
		if k.toolbox = strings.HasPrefix(r.Description, toolboxPrefix); !k.toolbox {
			// The first note that is younger ends the image's time.
			i, _ := slices.BinarySearchFunc(notes, r.CreatedAt, func(n imageNote, t time.Time) int {
				if n.Since.After(t) {
					return 1
				}
				return -1
			})
			if i > 0 {
				k.image = notes[i-1].Image
			}
		}
		u := sums[k]
		if u == nil {
			u = &ImageUsage{Image: k.image, Toolbox: k.toolbox}
			sums[k] = u
		}
		u.Size += r.Size
		u.Records++
		if r.LastUsedAt != nil && r.LastUsedAt.After(u.LastUsed) {
			u.LastUsed = *r.LastUsedAt
		}
	}
	out := make([]ImageUsage, 0, len(sums))
	for _, u := range sums {
		out = append(out, *u)
	}
	slices.SortFunc(out, func(a, b ImageUsage) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Image, b.Image))
	})
	return out
}
