package llb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// rpmFiles expands org.osbuild.rpm: it installs package files that are sources
// of the manifest.
func (g *Graph) rpmFiles(ctx context.Context, at place, t Tree) (Tree, error) {
	var o packages.RPMOptions
	if err := json.Unmarshal(at.stage.Options, &o); err != nil {
		return Tree{}, err
	}
	var files []download
	seen := map[string]bool{}
	for _, p := range o.Packages {
		if seen[p.File()] {
			continue
		}
		seen[p.File()] = true
		d, err := g.sourceFile(p.Checksum)
		if err != nil {
			return Tree{}, err
		}
		d.name = p.File()
		files = append(files, d)
	}
	rpms, err := g.fetch(ctx, fmt.Sprintf("%s: download %d packages", at.name(""), len(files)), files, g.constraints(at)...)
	if err != nil {
		return Tree{}, err
	}
	return g.sequence(ctx, at, t, []part{
		{packages.PreparePart, "prepare", nil, nil},
		{packages.RPMApply, "install", o, map[string]llb.State{"rpms": rpms}},
		{packages.NormalisePart, "normalise", nil, nil},
	})
}

// sourceFile returns how the file with a checksum is fetched, as the sources of
// the manifest say it.
func (g *Graph) sourceFile(checksum string) (download, error) {
	for _, s := range g.m.Sources {
		item, ok := s.Items[checksum]
		if !ok || s.Type != "org.osbuild.curl" {
			continue
		}
		u, err := curlURL(item)
		if err != nil {
			return download{}, fmt.Errorf("the source %s: %w", checksum, err)
		}
		d := download{url: u}
		// BuildKit knows this kind of checksum only; steps verify the others.
		d.sha256, _ = strings.CutPrefix(checksum, "sha256:")
		if d.sha256 == checksum {
			d.sha256 = ""
		}
		return d, nil
	}
	if g.m.Format == manifest.Format2019 {
		return download{}, fmt.Errorf("nothing says where the file %s is: this form of manifest has no sources; put it into \"pipeline\" and add \"sources\"", checksum)
	}
	return download{}, fmt.Errorf("no source of kind org.osbuild.curl has %s", checksum)
}

// curlURL reads an item of the source org.osbuild.curl: a URL, or an object
// around it.
func curlURL(item json.RawMessage) (string, error) {
	var u string
	if err := json.Unmarshal(item, &u); err != nil {
		var o struct {
			URL      string          `json:"url"`
			Insecure bool            `json:"insecure"`
			Secrets  json.RawMessage `json:"secrets"`
		}
		if err := json.Unmarshal(item, &o); err != nil {
			return "", err
		}
		if o.Insecure || len(o.Secrets) > 0 {
			return "", errors.New("\"insecure\" and \"secrets\" are not supported yet: use an address that needs neither")
		}
		u = o.URL
	}
	if _, err := joinURL(u, "."); err != nil {
		return "", err
	}
	return u, nil
}
