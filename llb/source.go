package llb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/moby/buildkit/client/llb"
	digest "github.com/opencontainers/go-digest"

	"github.com/osbuildkit/osbuildkit/internal/redact"
)

// download is one file that BuildKit fetches by itself.
type download struct {
	// url is where it is; it is not in the cache key if there is a checksum.
	url string
	// name is what the file is called in the resulting directory; it may have
	// directories.
	name string
	// sha256 is the hex digest that the content must have, or empty.
	sha256 string
	// attempt counts the times that the file was asked for before, in vain.
	attempt int
	// auth names a secret that holds the Authorization header, or is empty.
	auth string
	// client is set if BuildKit cannot fetch the file by itself.
	client *stepClient
	// mayMiss says that the file is read by readDownload, and may well be missing.
	mayMiss bool
}

// download returns a state that holds one file, and its name in it: one that
// was given with the build, or one that BuildKit fetches.
func (g *Graph) download(ctx context.Context, d download, opts ...llb.ConstraintsOpt) (llb.State, string, error) {
	if d.sha256 != "" && g.opt.Source != nil {
		st, name, err := g.opt.Source(ctx, d.sha256)
		if err != nil {
			return llb.State{}, "", err
		}
		if st != nil {
			return *st, name, nil
		}
	}
	if d.byStep() {
		return g.fetchAsClient(ctx, d, opts...)
	}
	name := path.Base(d.name)
	if d.attempt > 0 {
		// The address is in no key where there is a checksum: under the same name
		// BuildKit would take this for the file that it has just failed to fetch.
		name = fmt.Sprintf("%s.%d", name, d.attempt)
	}
	all := []llb.HTTPOption{llb.Filename(name), llb.WithCustomName("fetch " + d.title())}
	if d.sha256 != "" {
		all = append(all, llb.Checksum(digest.NewDigestFromEncoded(digest.SHA256, d.sha256)))
	}
	if d.auth != "" {
		all = append(all, llb.AuthHeaderSecret(d.auth))
	}
	for _, o := range opts {
		all = append(all, o)
	}
	return llb.HTTP(d.url, all...), "/" + name, nil
}

// title is the name without the number of a repository before it.
func (d download) title() string {
	if _, rest, ok := strings.Cut(d.name, "/dists/"); ok {
		return "dists/" + rest
	}
	return d.name
}

// fetch returns one directory that holds all downloads. They are fetched in
// parallel, shown as one line, and each is cached by itself.
func (g *Graph) fetch(ctx context.Context, name string, downloads []download, opts ...llb.ConstraintsOpt) (llb.State, error) {
	if len(downloads) == 0 {
		return llb.Scratch(), nil
	}
	opts = append(opts, llb.ProgressGroup(groupID(name, downloads), name, true))
	var action *llb.FileAction
	for _, d := range downloads {
		src, from, err := g.download(ctx, d, opts...)
		if err != nil {
			return llb.State{}, err
		}
		info := &llb.CopyInfo{CreateDestPath: true, CreatedTime: epochTime()}
		if action == nil {
			action = llb.Copy(src, from, "/"+d.name, info)
		} else {
			action = action.Copy(src, from, "/"+d.name, info)
		}
	}
	fileOpts := make([]llb.ConstraintsOpt, 0, len(opts)+1)
	fileOpts = append(fileOpts, opts...)
	fileOpts = append(fileOpts, llb.WithCustomName(name))
	return llb.Scratch().File(action, fileOpts...), nil
}

// groupID identifies a progress group. It is made from the content, so that
// the same downloads in two pipelines are one group.
func groupID(name string, downloads []download) string {
	var b strings.Builder
	b.WriteString(name)
	for _, d := range downloads {
		b.WriteString("\n" + d.sha256 + " " + d.name)
	}
	return digest.FromString(b.String()).Encoded()
}

// CheckMirror reports what is wrong with the address of a mirror.
func CheckMirror(address string) error {
	_, err := joinURL(address, ".")
	return err
}

// joinURL appends a path, in which nothing is escaped, to the URL of a mirror.
func joinURL(mirror, rel string) (string, error) {
	u, err := url.Parse(mirror)
	if err != nil {
		return "", fmt.Errorf("mirror %q: give an http or https URL: %w", redact.URL(mirror), errors.Unwrap(err))
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		if u.Scheme == "file" || u.Scheme == "" && strings.HasPrefix(mirror, "/") {
			return "", fmt.Errorf("mirror %q: give an http or https URL: a builder does not see the files of its client, "+
				"so serve them over HTTP, such as with \"python3 -m http.server\", at an address that the builder reaches", redact.URL(mirror))
		}
		return "", fmt.Errorf("mirror %q: give an http or https URL", redact.URL(mirror))
	}
	parts := strings.Split(rel, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	joined := u.JoinPath(parts...)
	// As apt writes it: some servers (S3) take a plain one for a space.
	joined.RawPath = strings.ReplaceAll(joined.EscapedPath(), "+", "%2B")
	return joined.String(), nil
}

func unix(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

func epochTime() *time.Time {
	t := unix(0)
	return &t
}
