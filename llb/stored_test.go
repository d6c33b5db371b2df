package llb

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client/llb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

var storedID = strings.Repeat("0", 64)

// storedTree is a tree with all that is kept with one.
func storedTree(t *testing.T) (Tree, []byte) {
	t.Helper()
	var l ledger.Ledger
	if err := l.Set("/etc/passwd", "user.note", []byte("a\nb")); err != nil {
		t.Fatal(err)
	}
	text, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return Tree{
		Root: llb.Scratch(), Ledger: llb.Scratch(), Epoch: 1700000000,
		Lists: []debian.PackageList{{Packages: []debian.Package{
			{Name: "a", Version: "1", Architecture: "amd64", Path: "pool/a.deb", File: "a.deb", Size: 1, SHA256: strings.Repeat("a", 64)},
		}}},
		repos: []packages.RepositoryOptions{{Arch: "i386"}},
	}, text
}

// imageWith is the configuration of an image with labels.
func imageWith(labels map[string]string) *ocispecs.Image {
	img := &ocispecs.Image{Platform: amd64}
	img.Config.Labels = labels
	return img
}

func TestStored(t *testing.T) {
	t.Parallel()
	tree, text := storedTree(t)
	labels, err := tree.Store(storedID, text).Labels()
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseStored(imageWith(labels))
	if err != nil {
		t.Fatal(err)
	}
	got := s.start()
	if s.ID != storedID || s.Platform.Architecture != "amd64" || got.Epoch != tree.Epoch || got.arch != "i386" || got.unknown || got.Unlisted ||
		len(got.Lists) != 1 || got.Lists[0].Packages[0] != tree.Lists[0].Packages[0] || s.State.Ledger != string(text) || got.Ledger.Output() == nil {
		t.Errorf("%+v", s)
	}
	again, err := got.Store(storedID, text).Labels()
	if err != nil || again[TreeStateLabel] != labels[TreeStateLabel] {
		t.Errorf("what was kept with a tree is not what is kept with one that starts from it: %v", err)
	}
	// A ledger that cannot be kept makes it another tree.
	large := append(slices.Clone(text), make([]byte, MaxStoredLedger)...)
	if labels, err = tree.Store(storedID, large).Labels(); err != nil || labels[TreeIDLabel] == storedID {
		t.Errorf("a tree without its ledger is called %s, %v", labels[TreeIDLabel], err)
	}
	if s, err = ParseStored(imageWith(labels)); err != nil || s.State.Ledger != "" || len(s.Variant(storedID, nil)) == 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestStoredVariant(t *testing.T) {
	t.Parallel()
	when, other := int64(5), int64(6)
	s := &Stored{ID: storedID, Epoch: 5}
	if what := s.Variant(storedID, nil); what != nil {
		t.Errorf("%q", what)
	}
	if what := s.Variant(storedID, &when); what != nil {
		t.Errorf("%q", what)
	}
	seen := map[string]bool{}
	for _, what := range [][]string{
		s.Variant(storedID, &other), s.Variant(strings.Repeat("1", 64), nil), (&Stored{Content: " a"}).Variant(storedID, nil), (&Stored{Content: " b"}).Variant(storedID, nil),
	} {
		id := manifest.VariantID(storedID, what...)
		if len(what) == 0 || id == storedID || len(id) != 64 || seen[id] {
			t.Errorf("%q gives %s", what, id)
		}
		seen[id] = true
	}
}

// TestForeignImage is one that was not made by this program.
func TestForeignImage(t *testing.T) {
	t.Parallel()
	img := imageWith(nil)
	made, later := time.Unix(1650000000, 0), time.Unix(1660000000, 0)
	img.Created, img.History = &made, []ocispecs.History{{Created: &later}, {}}
	img.RootFS.DiffIDs = []digest.Digest{digest.FromString("a")}
	s, err := ParseStored(img)
	if err != nil {
		t.Fatal(err)
	}
	tree := s.start()
	if s.ID != "" || s.Content == "" || tree.Epoch != later.Unix() || !tree.Unlisted {
		t.Errorf("%+v", s)
	}
	tree.setEpoch(later.Unix() - 1)
	if tree.Epoch != later.Unix() {
		t.Errorf("an older repository makes the files of the image newer than the epoch, %d", tree.Epoch)
	}
	tree = s.start()
	tree.setEpoch(later.Unix() + 1)
	if tree.Epoch != later.Unix()+1 {
		t.Errorf("the repository's time is not taken, but %d", tree.Epoch)
	}
	// An image that says that it is as old as time.
	img.Created, img.History = new(time.Time), nil
	if s, err = ParseStored(img); err != nil || s.start().Epoch != DefaultEpoch {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err = ParseStored(&ocispecs.Image{}); err != nil || s.Platform.Architecture != "" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestHostileLabels(t *testing.T) {
	t.Parallel()
	tree, text := storedTree(t)
	good, err := tree.Store(storedID, text).Labels()
	if err != nil {
		t.Fatal(err)
	}
	bomb, err := encodeState(StoredState{Arch: strings.Repeat("a", maxStateText)})
	if err != nil {
		t.Fatal(err)
	}
	badLedger, err := encodeState(StoredState{Ledger: "no ledger"})
	if err != nil {
		t.Fatal(err)
	}
	badList, err := encodeState(StoredState{Lists: []debian.PackageList{{Packages: []debian.Package{{Name: "../a"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"no time": {TreeEpochLabel, ""}, "negative": {TreeEpochLabel, "-1"}, "far": {TreeEpochLabel, "9999999999999"},
		"no state": {TreeStateLabel, ""}, "no base64": {TreeStateLabel, "!"}, "no gzip": {TreeStateLabel, base64.StdEncoding.EncodeToString([]byte("a"))},
		"bomb": {TreeStateLabel, bomb}, "large": {TreeStateLabel, strings.Repeat("A", maxStateLabel+1)},
		"ledger": {TreeStateLabel, badLedger}, "list": {TreeStateLabel, badList},
	} {
		labels := map[string]string{TreeIDLabel: good[TreeIDLabel], TreeEpochLabel: good[TreeEpochLabel], TreeStateLabel: good[TreeStateLabel]}
		labels[change[0]] = change[1]
		if _, err := ParseStored(imageWith(labels)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// FuzzStateLabel gives hostile labels.
func FuzzStateLabel(f *testing.F) {
	text, err := encodeState(StoredState{Arch: "amd64"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := decodeState(text); err == nil && len(s.Ledger) > MaxStoredLedger {
			t.Error("a ledger that is too large")
		}
	})
}

func TestBasePlatform(t *testing.T) {
	t.Parallel()
	const text = `{"base": "0000000000000000000000000000000000000000000000000000000000000000", "build": {"stages": [{"name": "org.osbuild.noop"}],
		"base": "1111111111111111111111111111111111111111111111111111111111111111"}, "assembler": {"name": "org.osbuild.tar", "options": {"filename": "a"}}}`
	m := testManifest(t, text)
	graph := func(p ocispecs.Platform, have map[string]ocispecs.Platform) *Graph {
		opt := options(t)
		opt.Platform = p
		opt.Base = func(_ context.Context, id string, _ ocispecs.Platform) (*Stored, error) {
			return &Stored{ID: id, Root: llb.Scratch(), Platform: have[id[:1]]}, nil
		}
		return New(m, opt)
	}
	arm := ocispecs.Platform{OS: "linux", Architecture: "arm64"}
	// The build root is for the builder, whatever the image is for.
	bases, err := graph(arm, map[string]ocispecs.Platform{"0": arm, "1": amd64}).Bases(t.Context(), manifest.AssemblerPipeline)
	if err != nil || len(bases) != 2 {
		t.Errorf("%v, %v", bases, err)
	}
	if _, err := graph(amd64, map[string]ocispecs.Platform{"0": {}, "1": amd64}).Bases(t.Context(), manifest.TreePipeline); err != nil {
		t.Error(err)
	}
	for name, have := range map[string]map[string]ocispecs.Platform{
		"/base": {"0": amd64, "1": amd64}, "/build/base": {"0": arm, "1": arm},
	} {
		_, err := graph(arm, have).Bases(t.Context(), manifest.AssemblerPipeline)
		var placed *Error
		if !errors.As(err, &placed) || placed.Pointer != name || !strings.Contains(err.Error(), "and this build is for linux/") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
