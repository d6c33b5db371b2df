package cli

import (
	"archive/tar"
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/internal/expand"
)

// maxImageMeta bounds what is read of an image besides its layers, and
// maxLayers the number of these.
const (
	maxImageMeta = 8 << 20
	maxLayers    = 1000
)

// ociImage is an image in an OCI layout: a directory, or an archive of one.
type ociImage struct {
	// open opens a file of the layout by its name.
	open func(name string) (io.ReadCloser, error)
}

// directoryImage is the layout in a directory.
func directoryImage(dir string) ociImage {
	return ociImage{open: func(name string) (io.ReadCloser, error) {
		f, err := os.Open(path.Join(dir, name))
		if err != nil {
			return nil, err
		}
		return f, nil
	}}
}

// archiveImage finds the files of the layout in an archive. It returns nil if the
// archive is no layout.
func archiveImage(file string) (*ociImage, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	places := map[string][2]int64{}
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		// The reader has taken the header and nothing after it.
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeReg {
			places[h.Name] = [2]int64{at, h.Size}
		}
	}
	if _, ok := places[ocispecs.ImageLayoutFile]; !ok {
		return nil, nil
	}
	return &ociImage{open: func(name string) (io.ReadCloser, error) {
		at, ok := places[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.NewSectionReader(f, at[0], at[1]), f}, nil
	}}, nil
}

func blobName(d digest.Digest) string {
	return path.Join(ocispecs.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// read reads a file of the layout that is JSON.
func (i ociImage) read(name string, into any) error {
	f, err := i.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxImageMeta))
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// manifests lists the images below an index.
func (i ociImage) manifests(d ocispecs.Descriptor, depth int) ([]ocispecs.Manifest, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, err
	}
	if d.MediaType != ocispecs.MediaTypeImageIndex {
		var m ocispecs.Manifest
		err := i.read(blobName(d.Digest), &m)
		return []ocispecs.Manifest{m}, err
	}
	if depth == 0 {
		return nil, errors.New("too many indexes in each other")
	}
	var index ocispecs.Index
	if err := i.read(blobName(d.Digest), &index); err != nil {
		return nil, err
	}
	var out []ocispecs.Manifest
	for _, d := range index.Manifests {
		more, err := i.manifests(d, depth-1)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// layer opens the archive in a layer.
func (i ociImage) layer(d digest.Digest) (*tar.Reader, io.Closer, error) {
	if err := d.Validate(); err != nil {
		return nil, nil, err
	}
	f, err := i.open(blobName(d))
	if err != nil {
		return nil, nil, err
	}
	r := bufio.NewReader(f)
	plain, err := expand.Open(expand.ByContent(r), r, 0)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return tar.NewReader(plain), f, nil
}

// images lists the images of a layout, or that with a tag.
func (i ociImage) images(tag string) ([]ocispecs.Manifest, error) {
	var index ocispecs.Index
	if err := i.read(ocispecs.ImageIndexFile, &index); err != nil {
		return nil, err
	}
	var out []ocispecs.Manifest
	for _, d := range index.Manifests {
		if tag != "" && d.Annotations[ocispecs.AnnotationRefName] != tag {
			continue
		}
		more, err := i.manifests(d, 3)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// compareImages says in what the images of two layouts differ: it names the first
// file in their layers that does. It returns the empty string where they are the
// same.
func compareImages(a, b ociImage, tag string) (string, error) {
	as, err := a.images(tag)
	if err != nil {
		return "", err
	}
	bs, err := b.images(tag)
	if err != nil {
		return "", err
	}
	if len(as) != len(bs) {
		return fmt.Sprintf("there are %d and %d images", len(as), len(bs)), nil
	}
	for n := range as {
		what, err := compareLayers(a, b, as[n], bs[n])
		if what != "" || err != nil {
			return what, err
		}
	}
	return "", nil
}

func compareLayers(a, b ociImage, ma, mb ocispecs.Manifest) (string, error) {
	if len(ma.Layers) != len(mb.Layers) {
		return fmt.Sprintf("the images have %d and %d layers", len(ma.Layers), len(mb.Layers)), nil
	}
	if len(ma.Layers) > maxLayers {
		return "", fmt.Errorf("the image has more than %d layers", maxLayers)
	}
	for n := range ma.Layers {
		if ma.Layers[n].Digest == mb.Layers[n].Digest {
			continue
		}
		what, err := compareLayer(a, b, ma.Layers[n].Digest, mb.Layers[n].Digest)
		if err != nil {
			return "", err
		}
		if what == "" {
			what = "its files are the same, but are packed in another way"
		}
		return fmt.Sprintf("layer %d: %s", n+1, what), nil
	}
	if ma.Config.Digest != mb.Config.Digest {
		return "the configurations of the images differ", nil
	}
	return "", nil
}

func compareLayer(a, b ociImage, da, db digest.Digest) (string, error) {
	ra, ca, err := a.layer(da)
	if err != nil {
		return "", err
	}
	defer ca.Close()
	rb, cb, err := b.layer(db)
	if err != nil {
		return "", err
	}
	defer cb.Close()
	return compareArchives(ra, rb)
}
