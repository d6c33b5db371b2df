package llb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"

	"github.com/osbuildkit/osbuildkit/internal/redact"
	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// smallFileTimeout is how long the lists of mirrors and repomd.xml may take
// where the manifest does not say it.
const smallFileTimeout = 60 * time.Second

// rpmSource is a repository whose metadata have been read and verified.
type rpmSource struct {
	// mirrors are the addresses of the repository, the best one first.
	mirrors []string
	// best is the first of them that has the metadata.
	best     int
	metalink *rpmmd.Metalink
	repomd   *rpmmd.Repomd
	// solve are the files that a solver needs.
	solve []rpmmd.Data
	// opened are those that the server sends without their compression, by
	// their places in solve.
	opened map[int]bool
	sum    string
	// client is set if the repository asks for a certificate.
	client *stepClient
}

// files are the metadata files of repository number i: repomd.xml, and then
// those of solve.
func (s *rpmSource) files(i int) ([]download, error) {
	dir := strconv.Itoa(i) + "/"
	u, err := rpmmd.JoinURL(s.mirrors[s.best], repomdPath)
	if err != nil {
		return nil, err
	}
	out := []download{{url: u, name: dir + repomdPath, sha256: s.sum, attempt: s.best, client: s.client}}
	for i, d := range s.solve {
		u, err := d.URL(s.mirrors[s.best])
		if err != nil {
			return nil, err
		}
		if s.opened[i] {
			d, _ = d.Opened()
		}
		out = append(out, newDownload(u, dir+d.File(), d.Checksum, s.best, s.client))
	}
	return out, nil
}

const repomdPath = "repodata/repomd.xml"

// newDownload is the download of a file with a checksum. BuildKit knows SHA-256
// only; what has another kind is verified by a step: see checkFiles. One that
// downloads verifies it too, which without any would run in each build.
func newDownload(u, name string, sum rpmmd.Checksum, attempt int, client *stepClient) download {
	d := download{url: u, name: name, attempt: attempt, client: client}
	switch {
	case sum.Algorithm == "sha256":
		d.sha256 = sum.Hex
	case client != nil:
		own := *client
		own.checksum = sum.String()
		d.client = &own
	}
	return d
}

// rpmSource finds a mirror of a repository that has its metadata.
func (g *Graph) rpmSource(ctx context.Context, at place, number int, o packages.DnfOptions, r packages.DnfRepository) (*rpmSource, error) {
	key, err := json.Marshal([]any{r, o.Variables(), o.Gpgkeys})
	if err != nil {
		return nil, err
	}
	if s := g.rpms[string(key)]; s != nil {
		return s, nil
	}
	s := &rpmSource{client: repositoryClient(at, r)}
	if err := g.readyClient(ctx, s.client); err != nil {
		return nil, err
	}
	if err := g.rpmMirrors(ctx, o, r, s); err != nil {
		return nil, err
	}
	var failed []error
	for i := range s.mirrors {
		s.best = i
		err := g.rpmMetadata(ctx, at, number, o, r, s)
		if err == nil {
			g.rpms[string(key)] = s
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var missing *secretError
		if errors.As(err, &missing) {
			return nil, err
		}
		failed = append(failed, fmt.Errorf("%s: %w", redact.URL(s.mirrors[i]), err))
	}
	return nil, mirrorsError("", failed)
}

// mirrorsError says what is wrong with each mirror that was asked.
func mirrorsError(what string, failed []error) error {
	if len(failed) == 1 {
		if what != "" {
			return fmt.Errorf("%s: %w", what, failed[0])
		}
		return failed[0]
	}
	const most = 6
	text := make([]string, 0, most+1)
	for i, err := range failed {
		if i == most {
			text = append(text, fmt.Sprintf("  and %d more", len(failed)-most))
			break
		}
		text = append(text, "  "+err.Error())
	}
	if what == "" {
		what = "the repository"
	}
	return fmt.Errorf("none of %d mirrors has %s:\n%s", len(failed), what, strings.Join(text, "\n"))
}

// rpmMirrors lists the mirrors: those in the manifest, then those that its
// metalink or mirror list names.
func (g *Graph) rpmMirrors(ctx context.Context, o packages.DnfOptions, r packages.DnfRepository, s *rpmSource) error {
	v := o.Variables()
	for _, u := range strings.Fields(r.Baseurl) {
		u, err := v.Expand(u)
		if err != nil {
			return err
		}
		s.mirrors = append(s.mirrors, u)
	}
	for _, l := range []struct {
		what, url string
		parse     func([]byte) ([]rpmmd.Mirror, error)
	}{
		{"metalink", r.Metalink, func(data []byte) (found []rpmmd.Mirror, err error) {
			if s.metalink, err = rpmmd.ParseMetalink(data, v); err != nil {
				return nil, err
			}
			return s.metalink.Mirrors, nil
		}},
		{"mirror list", r.Mirrorlist, func(data []byte) ([]rpmmd.Mirror, error) { return rpmmd.ParseMirrorlist(data, v) }},
	} {
		if l.url == "" {
			continue
		}
		u, err := v.Expand(l.url)
		if err != nil {
			return err
		}
		data, err := g.readSmall(ctx, download{url: u, name: strings.ReplaceAll(l.what, " ", ""), client: s.client}, o)
		if err != nil {
			return fmt.Errorf("the %s %s: %w", l.what, redact.URL(u), err)
		}
		mirrors, err := l.parse(data)
		if err != nil {
			return fmt.Errorf("%s: %w", redact.URL(u), err)
		}
		for _, m := range mirrors {
			s.mirrors = append(s.mirrors, m.URL)
		}
	}
	if s.metalink != nil && r.Checksum != "" {
		pin, err := rpmmd.ParseChecksum(r.Checksum)
		if err != nil {
			return err
		}
		if !s.metalink.Allows(pin) {
			return fmt.Errorf("the metalink does not know the state of the repository that \"checksum\" names, %s, but %s: "+
				"the repository has changed since, use a snapshot of it or the new checksum", pin, s.metalink.Expected[0].Checksums[0])
		}
	}
	return nil
}

// readSmall reads one small file.
func (g *Graph) readSmall(ctx context.Context, d download, o packages.DnfOptions) ([]byte, error) {
	limit := smallFileTimeout
	if o.Timeout > 0 {
		limit = time.Duration(o.Timeout) * time.Second
	}
	var data []byte
	d.mayMiss = true
	err := within(ctx, limit, func(ctx context.Context) (err error) {
		data, err = g.readDownload(ctx, d, llb.Platform(g.opt.BuildPlatform))
		return err
	})
	return data, err
}

// timeoutError says that a mirror has not answered in time.
type timeoutError struct{ limit time.Duration }

// Error says how long it was waited for.
func (e *timeoutError) Error() string {
	return fmt.Sprintf("no answer within %v; the option \"timeout\" sets how long one may take", e.limit)
}

// within bounds the time of what may never answer; zero is no bound.
func within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	if limit == 0 {
		return do(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := do(bounded)
	// The builder is told of the limit and may be the first to see that it is over.
	over := bounded.Err() != nil || grpcerrors.Code(err) == codes.DeadlineExceeded
	if err != nil && over && ctx.Err() == nil {
		return &timeoutError{limit}
	}
	return err
}

// rpmMetadata reads repomd.xml of the mirror s.best, verifies it, and makes sure
// that the mirror has the files that it lists.
func (g *Graph) rpmMetadata(ctx context.Context, at place, number int, o packages.DnfOptions, r packages.DnfRepository, s *rpmSource) error {
	data, err := g.readRepomd(ctx, o, r, s)
	if err != nil {
		return err
	}
	if s.repomd, err = rpmmd.ParseRepomd(data); err != nil {
		return err
	}
	if s.solve, err = s.repomd.SolveFiles(); err != nil {
		return err
	}
	s.sum = strings.TrimPrefix(rpmmd.RepomdChecksum(data), "sha256:")
	s.opened = nil
	files, err := s.files(number)
	if err != nil {
		return err
	}
	name, limit := at.name("repository "+r.ID), time.Duration(o.Timeout)*time.Second
	st, err := g.fetch(ctx, name, files, g.constraints(at)...)
	if err != nil {
		return err
	}
	evaluate := func(ctx context.Context) error { return g.opt.Resolver.Evaluate(ctx, st) }
	err = within(ctx, limit, evaluate)
	if err != nil && !otherContent(err) {
		return s.client.explain(err)
	}
	// BuildKit cannot tell whether files with checksums of other kinds are the
	// right ones, nor accept one that a server has unpacked: a step looks at them.
	files = files[1:]
	if err != nil {
		for i := range files {
			files[i].sha256 = ""
		}
		if st, err = g.fetch(ctx, name, files, g.constraints(at)...); err != nil {
			return err
		}
		if err := within(ctx, limit, evaluate); err != nil {
			return explainFetch(s.client.explain(err))
		}
	}
	return g.checkMetadata(ctx, at, s, files, st)
}

// checkMetadata makes sure that the files of s.solve, which are in st, are those
// that repomd.xml lists, with or without their compression. Those with a SHA-256
// in files are.
func (g *Graph) checkMetadata(ctx context.Context, at place, s *rpmSource, files []download, st llb.State) error {
	var check []packages.CheckFile
	var numbers []int
	for i, d := range s.solve {
		if files[i].sha256 != "" {
			continue
		}
		c := packages.CheckFile{Name: files[i].name, Checksum: d.Checksum.String(), Size: d.Size, Packed: strings.HasSuffix(d.File(), ".gz")}
		if o, ok := d.Opened(); ok {
			c.Opened = o.Checksum.String()
		}
		check, numbers = append(check, c), append(numbers, i)
	}
	if len(check) == 0 {
		return nil
	}
	found, err := g.checkFiles(ctx, at, st, check)
	if err != nil {
		return err
	}
	s.opened = map[int]bool{}
	for n, i := range numbers {
		if found[n].Problem != "" {
			return fmt.Errorf("%s: %s", redact.URL(files[i].url), found[n].Problem)
		}
		s.opened[i] = found[n].Opened
	}
	return nil
}

// readRepomd returns repomd.xml once it is found genuine.
func (g *Graph) readRepomd(ctx context.Context, o packages.DnfOptions, r packages.DnfRepository, s *rpmSource) ([]byte, error) {
	u, err := rpmmd.JoinURL(s.mirrors[s.best], repomdPath)
	if err != nil {
		return nil, err
	}
	d := download{url: u, name: "repomd.xml", attempt: s.best, client: s.client}
	if pin, ok := strings.CutPrefix(r.Checksum, "sha256:"); ok {
		d.sha256 = pin
	}
	data, err := g.readSmall(ctx, d, o)
	if err != nil && d.sha256 != "" && ctx.Err() == nil {
		// What BuildKit says of a file with a wrong checksum does not tell
		// whether there was any; look at what is there instead.
		d.sha256 = ""
		data, err = g.readSmall(ctx, d, o)
	}
	if err != nil {
		return nil, err
	}
	if r.Checksum != "" {
		if err := rpmmd.CheckPin(data, r.Checksum); err != nil {
			return nil, err
		}
	}
	if s.metalink != nil {
		if err := s.metalink.Check(data); err != nil {
			return nil, err
		}
	}
	if r.RepoGpgcheck {
		keys, err := o.Keys(r)
		if err != nil {
			return nil, err
		}
		u, err := rpmmd.JoinURL(s.mirrors[s.best], repomdPath+".asc")
		if err != nil {
			return nil, err
		}
		signature, err := g.readSmall(ctx, download{url: u, name: "repomd.xml.asc", attempt: s.best, client: s.client}, o)
		if err != nil {
			return nil, fmt.Errorf("the signature repomd.xml.asc: %w", err)
		}
		signer, err := rpmmd.VerifyRepomd(data, signature, keys)
		if err != nil {
			return nil, err
		}
		if r.Checksum == "" {
			if err := signer.CheckNow(g.opt.Now()); err != nil {
				return nil, fmt.Errorf("repomd.xml: %w; give a newer key in \"gpgkey\", or pin the repository with \"checksum\" to use it all the same", err)
			}
		}
	}
	return data, nil
}

// broken says whether the same mirror may do better at the next time: a
// connection was broken, rather than that the file is not there.
func broken(err error) bool {
	var late *timeoutError
	return err != nil && !errors.As(err, &late) && !hopeless(err) && !otherContent(err) && !strings.Contains(err.Error(), "response status 4")
}

// otherContent says that a file has another checksum than it should.
func otherContent(err error) bool {
	return err != nil && strings.Contains(err.Error(), "digest mismatch")
}

// explainFetch adds to BuildKit's words what they can mean.
func explainFetch(err error) error {
	if otherContent(err) {
		return fmt.Errorf("%w: the mirror returned another file, or an error page", err)
	}
	return err
}

// rpmPackages downloads the listed packages into one directory. What one mirror
// does not give is asked of the next one. The list has the SHA-256 of all
// packages afterwards.
func (g *Graph) rpmPackages(ctx context.Context, at place, o packages.DnfOptions, list *rpmmd.PackageList, sources []*rpmSource) (llb.State, error) {
	files := make([]*rpmDownload, len(list.Packages))
	for i, p := range list.Packages {
		s := sources[p.Repository]
		files[i] = &rpmDownload{Package: p, source: s, mirror: s.best, client: repositoryClient(at, o.Repos[p.Repository])}
	}
	limit := time.Duration(o.Timeout) * time.Second
	for {
		downloads := make([]download, len(files))
		var lost []error
		for i, f := range files {
			var err error
			if downloads[i], err = f.download(); err != nil {
				lost = append(lost, err)
			}
		}
		if len(lost) > 0 {
			return llb.State{}, lostPackages(lost)
		}
		again, err := g.eachDownload(ctx, at, files, downloads, limit)
		if err != nil {
			return llb.State{}, err
		}
		if again {
			continue
		}
		st, err := g.fetch(ctx, downloadName(at, len(files)), downloads, g.constraints(at)...)
		if err != nil {
			return llb.State{}, err
		}
		if again, err = g.checkPackages(ctx, at, files, downloads, st, list); err != nil || !again {
			return st, err
		}
	}
}

// downloadName is what the display shows for the downloads of a stage.
func downloadName(at place, count int) string {
	return fmt.Sprintf("%s: download %d packages", at.name(""), count)
}

// rpmDownload is one package and the mirror that it is asked of.
type rpmDownload struct {
	rpmmd.Package
	source *rpmSource
	mirror int
	// repeated says that the mirror has been given a second chance.
	repeated bool
	// attempt counts the times that the file was asked for.
	attempt int
	tried   []error
	client  *stepClient
}

// download returns the download from the first mirror, from the present one on,
// on whose server the file can be.
func (f *rpmDownload) download() (download, error) {
	for {
		u, err := f.URL(f.source.mirrors[f.mirror])
		if err == nil {
			return newDownload(u, f.File, f.Checksum(), f.attempt, f.client), nil
		}
		if !f.fail(err) {
			return download{}, f.lost()
		}
	}
}

// fail notes why the present mirror does not give the file and turns to the next
// one; false if there is none left.
func (f *rpmDownload) fail(err error) bool {
	f.repeated = false
	f.tried = append(f.tried, err)
	f.mirror = (f.mirror + 1) % len(f.source.mirrors)
	return len(f.tried) < len(f.source.mirrors)
}

// lost says why no mirror gives the file.
func (f *rpmDownload) lost() error { return mirrorsError(path.Base(f.Location), f.tried) }

// lostPackages is the error of packages that no mirror gives.
func lostPackages(lost []error) error {
	const most = 4
	if len(lost) > most {
		lost = append(lost[:most:most], fmt.Errorf("and %d packages more", len(lost)-most))
	}
	return errors.Join(lost...)
}

// parallelDownloads is how many files are downloaded at once. BuildKit alone
// would open a connection for each at the same time, which mirrors refuse.
const parallelDownloads = 10

// eachDownload fetches each file by itself, a few at a time, and turns those
// that fail to their next mirrors. It reports whether any did; that a file has
// no mirror left is an error. What is there already costs next to nothing.
func (g *Graph) eachDownload(ctx context.Context, at place, files []*rpmDownload, downloads []download, limit time.Duration) (bool, error) {
	name := downloadName(at, len(files))
	opts := append(g.constraints(at), llb.ProgressGroup(groupID(name, downloads), name, true))
	errs := make([]error, len(files))
	slots := make(chan struct{}, parallelDownloads)
	var wg sync.WaitGroup
	// Mirrors that hang once are not waited for again.
	var hanging sync.Map
	for i := range files {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			mirror := files[i].mirror
			if err, ok := hanging.Load(files[i].source.mirrors[mirror]); ok {
				errs[i] = err.(error) //nolint:errcheck,forcetypeassert // nothing else is stored
				return
			}
			errs[i] = within(ctx, limit, func(ctx context.Context) error {
				st, _, err := g.download(ctx, downloads[i], opts...)
				if err != nil {
					return err
				}
				return downloads[i].client.explain(g.opt.Resolver.Evaluate(ctx, st))
			})
			var late *timeoutError
			if errors.As(errs[i], &late) {
				hanging.Store(files[i].source.mirrors[mirror], errs[i])
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	again := false
	var lost []error
	for i, f := range files {
		if errs[i] == nil {
			continue
		}
		f.attempt++
		if broken(errs[i]) && !f.repeated {
			f.repeated, again = true, true
			continue
		}
		if !f.fail(fmt.Errorf("%s: %w", redact.URL(downloads[i].url), explainFetch(errs[i]))) {
			lost = append(lost, f.lost())
			continue
		}
		again = true
	}
	if len(lost) > 0 {
		return false, lostPackages(lost)
	}
	return again, nil
}
