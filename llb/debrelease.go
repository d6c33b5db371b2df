package llb

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/osbuildkit/osbuildkit/debian"
)

// debRelease is the verified release file of a Debian repository, and what was
// downloaded for it: InRelease, or Release and Release.gpg.
type debRelease struct {
	*debian.Release
	files []download
}

// release says which release file is to be read.
type release struct {
	// base is the directory of the suite.
	base, suite string
	// sum pins the file if it is not empty.
	sum     string
	keyring []byte
	// at is the time of a snapshot, or nil.
	at *time.Time
	// attempt counts the mirrors that were asked before.
	attempt int
}

// readRelease reads and verifies the release file of a suite. If nothing but its
// age is wrong, it is returned together with the error.
func (g *Graph) readRelease(ctx context.Context, want release, auth credentials) (*debRelease, error) {
	suite, sum, keyring := want.suite, want.sum, want.keyring
	file := func(name, sum string) (download, []byte, error) {
		u, err := joinURL(want.base, name)
		if err != nil {
			return download{}, nil, err
		}
		d := auth.download(u, path.Join(debian.ReleaseDir(suite), name), sum)
		d.mayMiss = true
		if sum != "" {
			d.attempt = want.attempt
		}
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
	if err == nil && want.at != nil {
		err = r.CheckSnapshot(*want.at, g.opt.Now(), sum != "")
	} else if err == nil {
		err = r.CheckValid(g.opt.Now(), sum != "")
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", in.url, err)
		if old := (*debian.StaleError)(nil); errors.As(err, &old) {
			return r, err
		}
		return nil, err
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
