package assemblers

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/internal/ctxio"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
)

// OCIArchiveOptions are the options of org.osbuild.oci-archive.
type OCIArchiveOptions struct {
	// Architecture is the architecture of the image's programs, by the name
	// that Go has for it, such as amd64 or arm64.
	Architecture string `json:"architecture" jsonschema:"required,minLength=1,maxLength=64,example=amd64"`
	// Filename is the name of the archive in the output directory.
	Filename string `json:"filename" jsonschema:"required,minLength=1,maxLength=255"`
	// Config says how a container of the image is started.
	Config OCIConfig `json:"config,omitzero"`
}

// OCIConfig is the configuration of a container image. What is left out is not
// in the image either.
type OCIConfig struct {
	// Cmd is the default command, or the default arguments of Entrypoint.
	Cmd []string `json:"Cmd,omitempty"`
	// Entrypoint is the program that is always started.
	Entrypoint []string `json:"Entrypoint,omitempty"`
	// Env holds the environment: NAME=VALUE.
	Env []string `json:"Env,omitempty"`
	// ExposedPorts holds the ports on which programs listen, such as 80/tcp.
	ExposedPorts []string `json:"ExposedPorts,omitempty"`
	// User is the user who runs the program: USER or USER:GROUP, names or numbers.
	User string `json:"User,omitempty"`
	// Labels holds free-form labels. A key does not begin with "$".
	Labels OCILabels `json:"Labels,omitempty"`
	// StopSignal is the signal that ends a container, such as SIGTERM.
	StopSignal string `json:"StopSignal,omitempty"`
	// StopSiganl is osbuild's spelling of StopSignal. Both mean the same here, and
	// only one may be given.
	StopSiganl string `json:"StopSiganl,omitempty"`
	// Volumes holds the directories whose content outlives a container.
	Volumes []string `json:"Volumes,omitempty"`
	// WorkingDir is the directory in which the program starts.
	WorkingDir string `json:"WorkingDir,omitempty"`
}

// OCILabels maps the keys of labels to their values.
type OCILabels map[string]string

// JSONSchemaText returns the JSON schema of OCILabels. Keys with "$" are those
// of the manifest's own markers.
func (OCILabels) JSONSchemaText() string {
	return `{"type": "object", "propertyNames": {"pattern": "^[^$]"}, "additionalProperties": {"type": "string"}}`
}

func (o *OCIArchiveOptions) check() []module.Problem {
	var problems []module.Problem
	add := func(pointer, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
	}
	if err := checkFilename(o.Filename); err != nil {
		add("/filename", "%s", err)
	}
	if a := o.Architecture; a == "" || strings.Trim(a, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		add("/architecture", "%q is not an architecture: use amd64, arm64 or another of Go's names", a)
	}
	for i, e := range o.Config.Env {
		if strings.Index(e, "=") < 1 {
			add(fmt.Sprintf("/config/Env/%d", i), "%q is not of the form NAME=VALUE", e)
		}
	}
	if o.Config.StopSignal != "" && o.Config.StopSiganl != "" {
		add("/config/StopSiganl", "StopSignal is given as well: leave this out")
	}
	return problems
}

func checkOCIArchive(options json.RawMessage) []module.Problem {
	return checkWith(options, (*OCIArchiveOptions).check)
}

// imageConfig returns the configuration in OCI's form.
func (c *OCIConfig) imageConfig() ociv1.ImageConfig {
	set := func(list []string) map[string]struct{} {
		if len(list) == 0 {
			return nil
		}
		m := map[string]struct{}{}
		for _, s := range list {
			m[s] = struct{}{}
		}
		return m
	}
	signal := c.StopSignal
	if signal == "" {
		signal = c.StopSiganl
	}
	return ociv1.ImageConfig{
		User: c.User, ExposedPorts: set(c.ExposedPorts), Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd,
		Volumes: set(c.Volumes), WorkingDir: c.WorkingDir, Labels: c.Labels, StopSignal: signal,
	}
}

// otherNames maps names of architectures to those that images use.
var otherNames = map[string]string{"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "i386": "386"}

// runOCIArchive writes the tree as a container image of one layer.
func runOCIArchive(ctx context.Context, in *module.Input) error {
	var o OCIArchiveOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	if err := problemsError(o.check()); err != nil {
		return err
	}
	if name, ok := otherNames[o.Architecture]; ok {
		in.Logf("warning: the architecture %s is called %s in images, and container engines look for that name", o.Architecture, name)
	}
	return writeOutput(ctx, in, o.Filename, func(f *os.File, scratch string) error {
		a := &ociArchive{blobs: map[string]blob{}}
		layer := filepath.Join(scratch, "layer")
		desc, diffID, err := writeLayer(ctx, in, layer)
		if err != nil {
			return fmt.Errorf("layer: %w", err)
		}
		a.blobs[desc.Digest.Encoded()] = blob{file: layer, size: desc.Size}
		created := in.Time()
		config, err := a.add(ociv1.MediaTypeImageConfig, ociv1.Image{
			Created:  &created,
			Platform: ociv1.Platform{Architecture: o.Architecture, OS: "linux"},
			Config:   o.Config.imageConfig(),
			RootFS:   ociv1.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
			History:  []ociv1.History{{Created: &created, CreatedBy: "org.osbuild.oci-archive"}},
		})
		if err != nil {
			return err
		}
		manifest, err := a.add(ociv1.MediaTypeImageManifest, ociv1.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest,
			Config: config, Layers: []ociv1.Descriptor{desc},
		})
		if err != nil {
			return err
		}
		manifest.Platform = &ociv1.Platform{Architecture: o.Architecture, OS: "linux"}
		if a.index, err = json.Marshal(ociv1.Index{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex,
			Manifests: []ociv1.Descriptor{manifest},
		}); err != nil {
			return err
		}
		in.Logf("%s: image %s, one layer of %d bytes", o.Filename, manifest.Digest, desc.Size)
		return a.write(ctx, f, created)
	})
}

// writeLayer writes the tree as a compressed layer. Of its attributes it has
// those that a container engine can set: it has its own labels, and lists are
// read by tar alone.
func writeLayer(ctx context.Context, in *module.Input, name string) (desc ociv1.Descriptor, diffID digest.Digest, err error) {
	attrs, err := attributes(ctx, in)
	if err != nil {
		return desc, "", err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return desc, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	packed, plain := sha256.New(), sha256.New()
	size := &counter{}
	z, err := compressor(io.MultiWriter(f, packed, size), "gzip")
	if err != nil {
		return desc, "", err
	}
	w := newTreeTar(in, io.MultiWriter(z, plain), attrs, attributeForms{
		lists: true,
		layer: true,
		xattrs: func(name string) bool {
			return strings.HasPrefix(name, "user.") || name == ledger.Capability || name == "security.ima"
		},
	})
	if err := w.write(ctx); err != nil {
		return desc, "", errors.Join(err, z.stop())
	}
	if err := z.Close(); err != nil {
		return desc, "", err
	}
	return ociv1.Descriptor{
		MediaType: ociv1.MediaTypeImageLayerGzip,
		Digest:    digest.NewDigest(digest.SHA256, packed),
		Size:      size.n,
	}, digest.NewDigest(digest.SHA256, plain), nil
}

// counter counts what is written to it.
type counter struct{ n int64 }

// Write counts.
func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// blob is data in memory, or in a file.
type blob struct {
	data []byte
	file string
	size int64
}

// ociArchive is an OCI layout that becomes a tar archive.
type ociArchive struct {
	blobs map[string]blob
	index []byte
}

// add makes v a blob.
func (a *ociArchive) add(mediaType string, v any) (ociv1.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	d := digest.FromBytes(data)
	a.blobs[d.Encoded()] = blob{data: data, size: int64(len(data))}
	return ociv1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}, nil
}

// write writes the archive, with its files sorted by name.
func (a *ociArchive) write(ctx context.Context, w io.Writer, when time.Time) error {
	layout, err := json.Marshal(ociv1.ImageLayout{Version: ociv1.ImageLayoutVersion})
	if err != nil {
		return err
	}
	files := map[string]blob{
		ociv1.ImageLayoutFile: {data: layout, size: int64(len(layout))},
		ociv1.ImageIndexFile:  {data: a.index, size: int64(len(a.index))},
		"blobs/":              {}, "blobs/sha256/": {},
	}
	names := []string{ociv1.ImageLayoutFile, ociv1.ImageIndexFile, "blobs/", "blobs/sha256/"}
	for hex, b := range a.blobs {
		files["blobs/sha256/"+hex] = b
		names = append(names, "blobs/sha256/"+hex)
	}
	slices.Sort(names)
	tw := tar.NewWriter(w)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		h := &tar.Header{Format: tar.FormatPAX, Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: files[name].size, ModTime: when}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		if err := files[name].copyTo(ctx, tw); err != nil {
			return err
		}
	}
	return tw.Close()
}

func (b blob) copyTo(ctx context.Context, w io.Writer) error {
	if b.file == "" {
		_, err := w.Write(b.data)
		return err
	}
	f, err := os.Open(b.file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, ctxio.Reader(ctx, f), make([]byte, 1<<20))
	return err
}
