package llb

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/debian"
)

// debRelease is the verified release file of a Debian repository, and what was
// downloaded for it: InRelease, or Release and Release.gpg.
type debRelease struct {
	*debian.Release
	files []download
}

// readRelease reads and verifies the release file of a suite, which is in the
// directory at base. Sum pins it if it is not empty.
func (g *Graph) readRelease(ctx context.Context, base, suite, sum string, keyring []byte, auth credentials) (*debRelease, error) {
	file := func(name, sum string) (download, []byte, error) {
		u, err := joinURL(base, name)
		if err != nil {
			return download{}, nil, err
		}
		d := auth.download(u, path.Join(debian.ReleaseDir(suite), name), sum)
		d.mayMiss = true
		data, err := g.readDownload(ctx, d)
		return d, data, err
	}
	r := &debRelease{}
	in, data, err := file("InRelease", sum)
	switch {
	case err == nil:
		r.files = []download{in}
		r.Release, err = debian.ParseInRelease(data, keyring)
	case notThere(err):
		// As apt does it.
		text, data, textErr := file("Release", sum)
		if textErr != nil && !notThere(textErr) {
			return nil, fmt.Errorf("%s: %w", text.url, textErr)
		}
		if textErr != nil {
			return nil, fmt.Errorf("%w; and there is no file Release beside it", err)
		}
		signature, sig, sigErr := file("Release.gpg", "")
		if sigErr != nil {
			return nil, fmt.Errorf("%s: the repository is not signed, as there is no file InRelease and no file Release.gpg: %w", text.url, sigErr)
		}
		in, r.files = text, []download{text, signature}
		r.Release, err = debian.ParseSignedRelease(data, sig, keyring)
	default:
		return nil, err
	}
	if err == nil {
		err = r.CheckSuite(suite, sum != "")
	}
	if err == nil {
		err = r.CheckValid(g.opt.Now(), sum != "")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.url, err)
	}
	return r, nil
}

// notThere says whether the server has answered that it does not send a file.
func notThere(err error) bool {
	var failed *clientError
	if errors.As(err, &failed) {
		return hopeless(err)
	}
	return strings.Contains(err.Error(), "response status 4")
}
