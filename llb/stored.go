package llb

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/rpmmd"
)

// Labels of the image of a tree. They hold what its files do not say, and what a
// pipeline that starts from it has to know to give what the whole manifest would.
const (
	// TreeIDLabel is the id of the tree.
	TreeIDLabel = "org.osbuildkit.tree.id"
	// TreeEpochLabel is the time of its build, in seconds since 1970.
	TreeEpochLabel = "org.osbuildkit.tree.epoch"
	// TreeStateLabel is the rest: JSON, compressed with gzip, in base64.
	TreeStateLabel = "org.osbuildkit.tree.state"
)

// Bounds of TreeStateLabel. Programs that read images refuse configurations of
// more than 4 MiB.
const (
	maxStateLabel = 2 << 20
	maxStateText  = 64 << 20
	// MaxStoredLedger is the size of the largest ledger that is kept with a tree:
	// it is part of each request to the builder that starts from it.
	MaxStoredLedger = 6 << 20
)

// maxTime is the last second of the year 9999, after which formats of images
// have no way to write a time.
const maxTime = 253402300799

// Stored is a tree that has left its build, and what is kept with it.
type Stored struct {
	// Root holds the files.
	Root llb.State
	// Platform is what the tree is for; its architecture is empty if nobody
	// knows.
	Platform ocispecs.Platform
	// ID is the tree's id, or empty if nobody knows: the image was not made by
	// this program.
	ID string
	// Content tells the image from others where it has no ID.
	Content string
	// Epoch is the time of its build. Where there is no ID, it is that of the
	// newest file that is known of, or 0.
	Epoch int64
	// State is the rest of what is known, if there is an ID.
	State StoredState
}

// StoredState is what TreeStateLabel says.
type StoredState struct {
	// Lists and RPMLists are the packages that were installed, by stage.
	Lists    []debian.PackageList `json:"lists,omitempty"`
	RPMLists []rpmmd.PackageList  `json:"rpm_lists,omitempty"`
	// Arch is Debian's name of the architecture that was asked for.
	Arch string `json:"arch,omitempty"`
	// Guessed says that the epoch is a guess, see Tree.
	Guessed bool `json:"guessed,omitempty"`
	// Unlisted says that the lists are not what the tree has, see Tree.
	Unlisted bool `json:"unlisted,omitempty"`
	// Ledger is the text of the ledger.
	Ledger string `json:"ledger,omitempty"`
}

// Store returns what is to be kept with a tree that has the given id, and the
// text of its ledger. Too large a ledger is left out, and the tree is another one
// without it.
func (t Tree) Store(id string, ledgerText []byte) *Stored {
	s := &Stored{ID: id, Epoch: t.Epoch, State: StoredState{Lists: t.Lists, RPMLists: t.RPMLists, Arch: t.arch, Guessed: t.unknown, Unlisted: t.Unlisted}}
	if len(t.repos) > 0 {
		s.State.Arch = t.repos[0].Arch
	}
	if len(ledgerText) > MaxStoredLedger {
		s.ID = manifest.VariantID(id, "without its ledger")
	} else {
		s.State.Ledger = string(ledgerText)
	}
	return s
}

// Labels returns the labels of the image.
func (s *Stored) Labels() (map[string]string, error) {
	id, state := s.ID, s.State
	text, err := encodeState(state)
	if err != nil {
		return nil, err
	}
	if len(text) > maxStateLabel && state.Ledger != "" {
		id, state.Ledger = manifest.VariantID(id, "without its ledger"), ""
		if text, err = encodeState(state); err != nil {
			return nil, err
		}
	}
	if len(text) > maxStateLabel {
		return nil, errors.New("the tree has more packages than the labels of an image can list")
	}
	return map[string]string{TreeIDLabel: id, TreeEpochLabel: strconv.FormatInt(s.Epoch, 10), TreeStateLabel: text}, nil
}

func encodeState(state StoredState) (string, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return "", err
	}
	if err := json.NewEncoder(z).Encode(state); err != nil {
		return "", err
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(out.Bytes()), nil
}

// ParseStored reads the configuration of an image. An image of which nothing is
// known is a tree too.
func ParseStored(img *ocispecs.Image) (*Stored, error) {
	s := &Stored{Platform: platforms.Normalize(img.Platform)}
	if img.Architecture == "" {
		s.Platform = ocispecs.Platform{}
	}
	labels := img.Config.Labels
	if labels[TreeIDLabel] == "" {
		s.Content, s.Epoch = content(img), newest(img)
		return s, nil
	}
	s.ID = labels[TreeIDLabel]
	var err error
	if s.Epoch, err = strconv.ParseInt(labels[TreeEpochLabel], 10, 64); err != nil || s.Epoch < 0 || s.Epoch > maxTime {
		return nil, fmt.Errorf("its label %s is %.40q, which is no number of seconds since 1970", TreeEpochLabel, labels[TreeEpochLabel])
	}
	if s.State, err = decodeState(labels[TreeStateLabel]); err != nil {
		return nil, fmt.Errorf("its label %s: %w", TreeStateLabel, err)
	}
	return s, nil
}

func decodeState(text string) (state StoredState, err error) {
	if len(text) > maxStateLabel {
		return state, fmt.Errorf("it has more than %d bytes", maxStateLabel)
	}
	z, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, bytes.NewReader([]byte(text))))
	if err != nil {
		return state, err
	}
	data, err := io.ReadAll(io.LimitReader(z, maxStateText+1))
	if err != nil {
		return state, err
	}
	if len(data) > maxStateText {
		return state, fmt.Errorf("its text has more than %d bytes", maxStateText)
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return state, err
	}
	for i := range state.Lists {
		if err := state.Lists[i].Check(); err != nil {
			return state, err
		}
	}
	for i := range state.RPMLists {
		if err := state.RPMLists[i].Check(); err != nil {
			return state, err
		}
	}
	if len(state.Ledger) > MaxStoredLedger {
		return state, fmt.Errorf("the ledger has more than %d bytes", MaxStoredLedger)
	}
	if _, err := ledger.Decode([]byte(state.Ledger)); state.Ledger != "" && err != nil {
		return state, err
	}
	return state, nil
}

// content tells the files of images apart.
func content(img *ocispecs.Image) string {
	var out string
	for _, d := range img.RootFS.DiffIDs {
		out += " " + d.String()
	}
	return out
}

// newest is the time of an image: nothing in it should be newer.
func newest(img *ocispecs.Image) int64 {
	var when int64
	note := func(t *time.Time) {
		if t != nil && t.Unix() > when && t.Unix() <= maxTime {
			when = t.Unix()
		}
	}
	note(img.Created)
	for _, h := range img.History {
		note(h.Created)
	}
	return when
}

// Variant says what makes a build that starts from the tree, for the given time,
// another one than that of the whole manifest; it is empty if nothing does.
func (s *Stored) Variant(base string, epoch *int64) []string {
	switch {
	case s.ID == "":
		return []string{"image" + s.Content}
	case s.ID != base:
		return []string{"tree " + s.ID}
	case epoch != nil && *epoch != s.Epoch:
		return []string{"time " + strconv.FormatInt(s.Epoch, 10)}
	}
	return nil
}

// start returns the state of a pipeline that starts from the tree.
func (s *Stored) start() Tree {
	t := Tree{Root: s.Root, Ledger: llb.Scratch(), Epoch: s.Epoch, Lists: s.State.Lists, RPMLists: s.State.RPMLists, arch: s.State.Arch, unknown: s.State.Guessed, Unlisted: s.State.Unlisted}
	if s.ID == "" {
		// The first repository that a stage names has more to say of the time.
		t.Epoch, t.unknown, t.Unlisted = max(s.Epoch, DefaultEpoch), true, true
	}
	if s.State.Ledger != "" {
		t.Ledger = t.Ledger.File(llb.Mkfile("/"+ledger.FileName, 0o644, []byte(s.State.Ledger), llb.WithCreatedTime(unix(0))),
			llb.WithCustomName("[internal] ledger of the stored tree"))
	}
	return t
}

// base returns the tree that a pipeline starts from.
func (g *Graph) base(ctx context.Context, p *manifest.Pipeline) (*Stored, error) {
	if s, ok := g.bases[p.Name]; ok {
		return s, nil
	}
	if g.opt.Base == nil {
		return nil, g.baseError(p, errors.New("this way of building has no store of trees: build with osbuildkit on the machine that has it"))
	}
	s, err := g.opt.Base(ctx, p.Base, g.opt.Platform)
	if err != nil {
		return nil, g.baseError(p, err)
	}
	if s.Platform.Architecture != "" && !platforms.Only(g.opt.Platform).Match(s.Platform) {
		return nil, g.baseError(p, fmt.Errorf("the tree %s is for %s, and this build is for %s: build the manifest that makes it with --platform %[3]s too, or this one with --platform %[2]s",
			p.Base, platforms.Format(s.Platform), platforms.Format(g.opt.Platform)))
	}
	g.bases[p.Name] = s
	return s, nil
}

// Base is a pipeline that starts from a stored tree.
type Base struct {
	Pipeline *manifest.Pipeline
	Stored   *Stored
}

// Bases looks up the stored trees that a pipeline, and all that it needs, start
// from. Nothing is built for it.
func (g *Graph) Bases(ctx context.Context, name string) ([]Base, error) {
	p := g.m.Pipeline(name)
	if p == nil {
		return nil, nil
	}
	var out []Base
	if p.Base != "" {
		s, err := g.base(ctx, p)
		if err != nil {
			return nil, err
		}
		out = append(out, Base{p, s})
	}
	if name == manifest.AssemblerPipeline {
		more, err := g.Bases(ctx, manifest.TreePipeline)
		if err != nil {
			return nil, err
		}
		return append(out, more...), nil // of the tree, whose build root is its own
	}
	if p.Build != "" {
		more, err := g.forBuilding().Bases(ctx, p.Build)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// setEpoch gives a tree the time of its first packages. A tree that began as an
// image of which nothing is known may have files that are newer.
func (t *Tree) setEpoch(seconds int64) {
	if t.unknown {
		seconds = max(seconds, t.Epoch)
	}
	t.Epoch, t.unknown = seconds, false
}
