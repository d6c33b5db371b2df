package frontend

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/rpmmd"
)

// Named contexts that have a meaning. Besides them, a context named
// "sha256:HEX" stands for the file with that checksum, wherever a build would
// download it.
const (
	// ToolboxContext is an image that replaces the toolbox.
	ToolboxContext = "toolbox"
	// BuildEnvContext is the environment that the innermost build root is
	// built in: a directory with build-env.json, the file of --build-env, or
	// an image that is used as the build root itself.
	BuildEnvContext = "build-env"
	// BaseContext is an image of the tree that a manifest with "base" starts
	// from.
	BaseContext = "base"
	// KeysContext has files with public keys, at its top. Repositories that
	// name a key by its fingerprint find it there.
	KeysContext = "keys"
)

// buildEnvFile is the file of osbuild's --build-env in its named context.
const buildEnvFile = "build-env.json"

// contextKey is BuildKit's option that holds a named context.
func contextKey(name string) string { return "context:" + name }

// context returns the state of a named context, or nil.
func (b *build) context(ctx context.Context, name string, p ocispecs.Platform) (*llb.State, error) {
	st, _, err := b.imageContext(ctx, name, p)
	return st, err
}

// imageContext returns the state of a named context, or nil, and the image that
// it is, or nil.
func (b *build) imageContext(ctx context.Context, name string, p ocispecs.Platform) (*llb.State, *dockerspec.DockerOCIImage, error) {
	nc, err := b.ui.NamedContext(name, dockerui.ContextOpt{Platform: &p})
	if err != nil || nc == nil {
		return nil, nil, err
	}
	st, img, err := nc.Load(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("the named context %q: %w", name, err)
	}
	return st, img, nil
}

// rootContext returns a named context that is a root file system. A directory
// of the client cannot be one: owners and devices do not survive the way.
func (b *build) rootContext(ctx context.Context, name string, p ocispecs.Platform) (*llb.State, error) {
	if err := b.noDirectory(name); err != nil {
		return nil, err
	}
	return b.context(ctx, name, p)
}

func (b *build) noDirectory(name string) error {
	if strings.HasPrefix(b.client.BuildOpts().Opts[contextKey(name)], "local:") {
		return fmt.Errorf("the named context %q is a directory, which loses owners and devices on its way to the builder: give an image or an oci-layout://", name)
	}
	return nil
}

// contexts adds the named contexts to the options of a graph.
func (b *build) contexts(ctx context.Context, opt *graph.Options) error {
	opt.Keys = b.keys
	var err error
	if opt.Toolbox, err = b.rootContext(ctx, ToolboxContext, opt.BuildPlatform); err != nil {
		return err
	}
	if opt.BuildEnv, err = b.buildEnvRoot(ctx, opt.BuildPlatform); err != nil {
		return err
	}
	opt.Base = b.baseSource()
	return nil
}

// Bounds of the named context with keys.
const (
	maxKeyFiles    = 1000
	maxKeyFileSize = 4 << 20
)

// keys returns the texts of all public keys in the named context for them.
func (b *build) keys(ctx context.Context) ([]string, error) {
	texts, err := b.readKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("the named context %q: %w", KeysContext, err)
	}
	return texts, nil
}

func (b *build) readKeys(ctx context.Context) ([]string, error) {
	st, err := b.context(ctx, KeysContext, b.ui.BuildPlatforms[0])
	if err != nil || st == nil {
		return nil, err
	}
	ref, err := b.solve(ctx, *st, false)
	if err != nil {
		return nil, err
	}
	files, err := ref.ReadDir(ctx, gwclient.ReadDirRequest{Path: "/"})
	if err != nil {
		return nil, err
	}
	if len(files) > maxKeyFiles {
		return nil, fmt.Errorf("it has %d files, more than %d", len(files), maxKeyFiles)
	}
	var texts []string
	for _, f := range files {
		if !fs.FileMode(f.Mode).IsRegular() || f.Size > maxKeyFileSize {
			continue
		}
		data, err := ref.ReadFile(ctx, gwclient.ReadRequest{Filename: "/" + path.Base(f.Path)})
		if err != nil {
			return nil, err
		}
		text, err := keysOfFile(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path.Base(f.Path), err)
		}
		if text != "" {
			texts = append(texts, text)
		}
	}
	if len(texts) == 0 {
		return nil, errors.New("no file at its top has a public key")
	}
	return texts, nil
}

// keysOfFile returns the public keys in a file, armored or binary, in their
// normal form; it is empty for a file of another kind.
func keysOfFile(data []byte) (string, error) {
	armored := bytes.Contains(data, []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----"))
	keys, err := rpmmd.ReadKeys(data)
	switch {
	case err == nil:
		return string(keys.Armor()), nil
	case armored:
		return "", err
	}
	return "", nil
}

// buildEnv returns the file of the build environment if the client gives one
// as a named context.
func (b *build) buildEnv(ctx context.Context) ([]byte, error) {
	st, err := b.context(ctx, BuildEnvContext, b.ui.BuildPlatforms[0])
	if err != nil || st == nil {
		return nil, err
	}
	ref, err := b.solve(ctx, *st, false)
	if err != nil {
		return nil, err
	}
	if _, err := ref.StatFile(ctx, gwclient.StatRequest{Path: buildEnvFile}); err != nil {
		b.buildEnvIsRoot = true
		return nil, nil
	}
	return dockerui.ReadFile(ctx, ref, buildEnvFile)
}

// buildEnvRoot returns the build environment that is an image and not a file.
func (b *build) buildEnvRoot(ctx context.Context, p ocispecs.Platform) (*llb.State, error) {
	if !b.buildEnvIsRoot {
		return nil, nil
	}
	if strings.HasPrefix(b.client.BuildOpts().Opts[contextKey(BuildEnvContext)], "local:") {
		return nil, fmt.Errorf("the named context %q: the directory has no %s", BuildEnvContext, buildEnvFile)
	}
	return b.rootContext(ctx, BuildEnvContext, p)
}

// checkContexts tells of named contexts that this manifest has no use for.
func (b *build) checkContexts(ctx context.Context) error {
	return b.useless(ctx, CheckContexts(b.m, b.givenContexts()))
}

// checkGivenSources tells of files that were given by their checksums and that the
// build does not read. It knows that once the graph is made.
func (b *build) checkGivenSources(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var texts []string
	for _, name := range b.givenContexts() {
		if name, _, _ := strings.Cut(name, "::"); sumContext.MatchString(name) && !b.sources[name] {
			texts = append(texts, fmt.Sprintf("the named context %q is not used: no file with this checksum is downloaded", name))
		}
	}
	return b.useless(ctx, texts)
}

// useless reports options that have no effect: as an error where they are for
// this build alone, else as warnings.
func (b *build) useless(ctx context.Context, texts []string) error {
	if b.cfg.Strict && len(texts) > 0 {
		return errors.New(strings.Join(texts, "\n"))
	}
	for _, text := range texts {
		b.source.Warn(ctx, text, gwclient.WarnOpts{})
	}
	return nil
}

// givenSource returns the file with a checksum if the client gives it as a
// named context, and its name in the state.
func (b *build) givenSource(ctx context.Context, sum string) (*llb.State, string, error) {
	name := "sha256:" + sum
	value, ok := b.client.BuildOpts().Opts[contextKey(name)]
	if !ok {
		return nil, "", nil
	}
	b.mu.Lock()
	if b.sources == nil {
		b.sources = map[string]bool{}
	}
	b.sources[name] = true
	b.mu.Unlock()
	const file = "file"
	if strings.HasPrefix(value, "http://") || strings.HasPrefix(value, "https://") {
		st := llb.HTTP(value, llb.Filename(file), llb.Checksum(digest.NewDigestFromEncoded(digest.SHA256, sum)),
			llb.WithCustomName("[context "+name+"] "+value))
		return &st, "/" + file, nil
	}
	st, err := b.context(ctx, name, b.ui.BuildPlatforms[0])
	if err != nil {
		return nil, "", err
	}
	found, err := b.findSource(ctx, *st, sum)
	if err != nil {
		return nil, "", fmt.Errorf("the named context %q: %w", name, err)
	}
	return st, found, nil
}

// maxSourceEntries bounds the files of a named context among which the one
// with a checksum is looked for.
const maxSourceEntries = 1000

// findSource looks for the file with a checksum at the top of a state.
// BuildKit verifies what it downloads, but not what a client gives.
func (b *build) findSource(ctx context.Context, st llb.State, sum string) (string, error) {
	ref, err := b.solve(ctx, st, false)
	if err != nil {
		return "", err
	}
	files, err := ref.ReadDir(ctx, gwclient.ReadDirRequest{Path: "/"})
	if err != nil {
		return "", err
	}
	if len(files) > maxSourceEntries {
		return "", fmt.Errorf("it has %d files, more than the %d that are looked through", len(files), maxSourceEntries)
	}
	for _, f := range files {
		if !fs.FileMode(f.Mode).IsRegular() {
			continue
		}
		name := "/" + path.Base(f.Path)
		got, err := hashFile(ctx, ref, name, f.Size)
		if err != nil {
			return "", err
		}
		if got == sum {
			return name, nil
		}
	}
	return "", errors.New("no file at its top has this checksum")
}

// hashPiece is how much of a file is read at once.
const hashPiece = 4 << 20

// hashFile computes the SHA-256 of a file in a result, in hex.
func hashFile(ctx context.Context, ref gwclient.Reference, name string, size int64) (string, error) {
	h := sha256.New()
	for at := int64(0); at < size; {
		data, err := ref.ReadFile(ctx, gwclient.ReadRequest{
			Filename: name,
			Range:    &gwclient.FileRange{Offset: int(at), Length: int(min(hashPiece, size-at))},
		})
		if err != nil {
			return "", err
		}
		if len(data) == 0 {
			return "", fmt.Errorf("%s: ended after %d of %d bytes", name, at, size)
		}
		h.Write(data)
		at += int64(len(data))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// baseUsed says whether a pipeline of the manifest starts from a stored tree.
func baseUsed(m *manifest.Manifest) bool {
	for _, p := range m.Pipelines {
		if p.Base != "" {
			return true
		}
	}
	return false
}
