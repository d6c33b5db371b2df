package llb

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/internal/redact"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// suite is one suite of a Debian repository and where it was found.
type suite struct {
	*debRelease
	// mirror is the address at which it was found.
	mirror string
	// lost is set instead if no mirror has the suite.
	lost error
}

// suitePlace is one address at which a suite may be.
type suitePlace struct {
	mirror string
	// at is the time of a snapshot, or nil for a mirror that has the newest state.
	at *time.Time
}

// suitePlaces lists where a suite may be, the best address first. The mirror of a
// companion is that of the suite that it belongs to.
func (g *Graph) suitePlaces(r packages.RepositoryOptions, companion bool) ([]suitePlace, error) {
	at := g.opt.Snapshot
	if r.Snapshot != "" {
		t, err := debian.ParseSnapshot(r.Snapshot)
		if err != nil {
			return nil, err
		}
		at = &t
	}
	var mirrors []string
	switch {
	case r.Mirror == "":
		mirrors = g.opt.Mirrors(r.Suite, at)
	case companion:
		mirrors = debian.MirrorsOf(r.Mirror, r.Suite)
	default:
		mirrors = []string{r.Mirror}
	}
	if r.Mirror != "" && r.Snapshot == "" {
		at = nil
	}
	var out []suitePlace
	for _, m := range mirrors {
		if r.Mirror != "" && at != nil {
			m = debian.AtSnapshot(m, *at)
		}
		p := suitePlace{m, at}
		if t, ok := debian.SnapshotTime(m); ok && p.at == nil {
			p.at = &t
		}
		if p.at != nil {
			if err := debian.CheckSnapshotTime(*p.at, g.opt.Now()); err != nil {
				return nil, err
			}
		}
		out = append(out, p)
	}
	if len(out) == 0 {
		return nil, errors.New("no mirror is known; give \"mirror\"")
	}
	return out, nil
}

// findSuite asks one mirror after the other for a suite, and caches the answer. A
// suite that nobody has asked for, but which belongs to one, may be missing, and
// be older than it should.
func (g *Graph) findSuite(ctx context.Context, r packages.RepositoryOptions, companion bool, auth credentials) (*suite, error) {
	places, err := g.suitePlaces(r, companion)
	if err != nil {
		return nil, err
	}
	var failed []error
	var stale *suite
	missing := true
	sum := strings.TrimPrefix(r.Checksum, "sha256:")
	for i, p := range places {
		s := &suite{mirror: p.mirror}
		base, err := joinURL(p.mirror, debian.ReleaseDir(r.Suite))
		if err != nil {
			return nil, err
		}
		err = bounded(ctx, len(places) > 1, func(ctx context.Context) error {
			s.debRelease, err = g.readRelease(ctx, release{base: base, suite: r.Suite, sum: sum, keyring: []byte(r.Keyring), at: p.at, attempt: i}, auth)
			return err
		})
		var old *debian.StaleError
		switch {
		case err == nil:
			return s, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.As(err, &old) && companion && stale == nil:
			s.lost, stale = err, s
		}
		missing = missing && lacking(err)
		if companion || len(places) > 1 {
			err = fmt.Errorf("%s: %w", redact.URL(p.mirror), err)
		}
		failed = append(failed, err)
	}
	if stale != nil && stale.debRelease != nil {
		// Packages that are not the newest are better than older ones, and one
		// who can hold back the file could as well say that there is none.
		return stale, nil
	}
	err = mirrorsError("", failed)
	if companion && missing {
		return &suite{lost: err}, nil
	}
	return nil, err
}

// bounded bounds the time of an attempt after which there is another one.
func bounded(ctx context.Context, another bool, do func(context.Context) error) error {
	limit := smallFileTimeout
	if !another {
		limit = 0
	}
	err := within(ctx, limit, do)
	var late *timeoutError
	if errors.As(err, &late) {
		return fmt.Errorf("no answer within %v", late.limit)
	}
	return err
}

// lackingAnswer are the answers of a server that does not have a file. Others with
// a number that begins with 4 may have another reason: too many requests, or no
// credentials.
var lackingAnswer = regexp.MustCompile(`response status (403|404|410)\b`)

// lacking reports whether a server has answered that it does not have a file.
func lacking(err error) bool {
	var failed *clientError
	if errors.As(err, &failed) {
		return hopeless(err)
	}
	return lackingAnswer.MatchString(err.Error())
}

// asked is a suite that is looked for, and what has come of it.
type asked struct {
	packages.RepositoryOptions
	companion bool
	found     *suite
	err       error
}

// key tells questions apart that may have different answers.
func (a *asked) key() string {
	return strings.Join([]string{a.Mirror, a.Snapshot, a.Suite, a.Checksum, a.Keyring, strconv.FormatBool(a.companion)}, "\n")
}

// findSuites looks for several suites, at once where that is possible: each takes
// the time of a question to a server in every build.
func (g *Graph) findSuites(ctx context.Context, list []*asked, auth credentials) {
	var wg sync.WaitGroup
	for _, a := range list {
		if a.found = g.suites[a.key()]; a.found != nil {
			continue
		}
		find := func() { a.found, a.err = g.findSuite(ctx, a.RepositoryOptions, a.companion, auth) }
		if auth.client != nil {
			find() // steps are added to the graph by one at a time
			continue
		}
		wg.Go(find)
	}
	wg.Wait()
	for _, a := range list {
		if a.found != nil {
			g.suites[a.key()] = a.found
		}
	}
}

// system looks for the suite that a system is to be made from, and for those that
// belong to it. It returns the repositories that there are, each with its address,
// and what is known of them.
func (g *Graph) system(ctx context.Context, at place, o packages.DebootstrapOptions) ([]metadata, error) {
	main := &asked{RepositoryOptions: o.Repository()}
	list := []*asked{main}
	companions := func(names []string) {
		for _, name := range names {
			if slices.ContainsFunc(list, func(a *asked) bool { return a.Suite == name }) {
				continue
			}
			r := main.RepositoryOptions
			r.Suite, r.Checksum = name, ""
			list = append(list, &asked{RepositoryOptions: r, companion: true})
		}
	}
	with := o.WithUpdates(g.opt.Snapshot != nil)
	if with {
		// Those of a known name are asked for before the answer says which there are.
		companions(debian.KnownCompanions(o.Suite))
	}
	g.findSuites(ctx, list, credentials{})
	if main.err != nil {
		return nil, fmt.Errorf("repository %q: %w", main.Suite, main.err)
	}
	if with {
		names := main.found.Companions(o.Suite)
		list = slices.DeleteFunc(list, func(a *asked) bool { return a.companion && !slices.Contains(names, a.Suite) })
		before := len(list)
		companions(names)
		g.findSuites(ctx, list[before:], credentials{})
	}
	var out []metadata
	for _, a := range list {
		m, err := g.suiteMetadata(len(out), a, credentials{})
		if err != nil {
			return nil, fmt.Errorf("repository %q: %w", a.Suite, err)
		}
		if a.found.lost != nil {
			g.warnSuite(at, a, m == nil)
		}
		if m != nil {
			out = append(out, *m)
		}
	}
	return out, nil
}

// warnSuite says that a suite is missing, or old.
func (g *Graph) warnSuite(at place, a *asked, missing bool) {
	what := "updates of " + a.Suite
	if debian.IsSecurity(a.Suite) {
		what = "security updates of " + a.Suite
	}
	text := fmt.Sprintf("the %s may not be the newest: %v", what, a.found.lost)
	if missing {
		text = fmt.Sprintf("the %s are left out: %v; give a mirror that has them, or \"updates\": false", what, a.found.lost)
	}
	if g.opt.Warn != nil {
		g.opt.Warn(at.pipeline, at.stage.Pointer, text)
	}
}

// suiteMetadata lists the files of a suite that was found, as repository number
// of a stage. It is nil for one that belongs to another and is of no use.
func (g *Graph) suiteMetadata(number int, a *asked, auth credentials) (*metadata, error) {
	if a.err != nil {
		return nil, a.err
	}
	if a.found.debRelease == nil {
		return nil, nil //nolint:nilnil // as it says above
	}
	m, err := a.found.metadata(number, a.RepositoryOptions, auth)
	if err != nil && a.companion {
		// Such as one that is no longer made for an architecture.
		a.found = &suite{lost: err}
		return nil, nil //nolint:nilnil // as it says above
	}
	if m != nil {
		// A later stage asks for it by its address.
		later := &asked{RepositoryOptions: m.RepositoryOptions}
		g.suites[later.key()] = a.found
	}
	return m, err
}
