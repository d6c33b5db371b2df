package llb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// stepClient says how a file is downloaded that BuildKit does not fetch by itself,
// because the server asks for a client's certificate, or because the credentials
// must not be sent as they are: by a step.
type stepClient struct {
	// at is the stage that needs the file.
	at place
	// secrets are those of the build that the step is given.
	secrets []stepSecret
	// named says for each secret's id what in the manifest names it.
	named map[string]string
	// insecure says that the server may be anybody.
	insecure bool
	// open says that addresses of http are downloaded so, too.
	open bool
	// checksum is that of the content, of any kind, or empty.
	checksum string
}

// add adds a secret, unless id is empty.
func (c *stepClient) add(name, id, named string, optional bool) {
	if id == "" {
		return
	}
	if c.named == nil {
		c.named = map[string]string{}
	}
	c.secrets = append(c.secrets, stepSecret{name, id, optional})
	c.named[id] = named
}

// repositoryClient returns how the files of a repository are downloaded, or nil
// if BuildKit can do it.
func repositoryClient(at place, r packages.DnfRepository) *stepClient {
	if r.Sslcacert == "" && r.Sslclientcert == "" {
		return nil
	}
	c := &stepClient{at: at}
	c.add(packages.SecretCA, r.Sslcacert, `"sslcacert"`, false)
	c.add(packages.SecretCertificate, r.Sslclientcert, `"sslclientcert"`, false)
	c.add(packages.SecretKey, r.Sslclientkey, `"sslclientkey"`, false)
	return c
}

// sourceClient returns how a source is downloaded that has the given name of
// secrets, which may be empty.
func sourceClient(secrets string, insecure bool) *stepClient {
	c := &stepClient{insecure: insecure}
	if secrets != "" {
		const named = `"secrets"`
		c.add(packages.SecretCertificate, secrets+".cert", named, false)
		c.add(packages.SecretKey, secrets+".key", named, false)
		c.add(packages.SecretCA, secrets+".ca", named, true)
	}
	return c
}

// key identifies what makes the client ready.
func (c *stepClient) key() string { return fmt.Sprint(c.at.pipeline.Name, c.secrets) }

// readyClient makes sure that a download can begin: that the secrets were given,
// which is said before anything long starts, and that the build root is there,
// so that making it is not in the time of the download. Where that is in the cache,
// the downloads may be there too: then secrets are asked for only as they are needed.
func (g *Graph) readyClient(ctx context.Context, c *stepClient) error {
	if c == nil {
		return nil
	}
	key := c.key()
	if g.ready[key] {
		return nil
	}
	if len(c.secrets) > 0 {
		m, err := g.part(packages.SecretsPart)
		if err != nil {
			return err
		}
		none := Tree{Root: llb.Scratch(), Ledger: llb.Scratch(), Epoch: DefaultEpoch}
		out, err := g.run(ctx, c.at, none, step{module: m, part: "look at the certificates", options: json.RawMessage("{}"), readonly: true, output: true, secrets: c.secrets})
		if err != nil {
			return err
		}
		if err := c.missing(g.opt.Resolver.Evaluate(ctx, out.output)); err != nil {
			return err
		}
	}
	if err := g.readyRoot(ctx, c.at); err != nil {
		return err
	}
	g.ready[key] = true
	return nil
}

// readyRoot makes sure that the build root of a stage is there.
func (g *Graph) readyRoot(ctx context.Context, at place) error {
	root, err := g.buildRoot(ctx, at.pipeline)
	if err != nil {
		return err
	}
	return g.opt.Resolver.Evaluate(ctx, root)
}

// fetchAsClient downloads a file by a step. The key of the step has the address
// and the checksum; the secrets are in no key. Without a checksum it runs in each
// build, as the file may have changed: such a file must not get into a tree, as
// all that is made of it would run in each build too.
func (g *Graph) fetchAsClient(ctx context.Context, d download, opts ...llb.ConstraintsOpt) (llb.State, string, error) {
	m, err := g.part(packages.FetchPart)
	if err != nil {
		return llb.State{}, "", err
	}
	name := path.Base(d.name)
	if d.attempt > 0 {
		// Otherwise it would be the step that has just failed.
		name = fmt.Sprintf("%s.%d", name, d.attempt)
	}
	o := packages.FetchOptions{URL: d.url, File: name, Checksum: d.client.checksum, Insecure: d.client.insecure}
	if d.sha256 != "" {
		o.Checksum = "sha256:" + d.sha256
	}
	o.Report = d.reports()
	options, err := encodeOptions(o)
	if err != nil {
		return llb.State{}, "", err
	}
	none := Tree{Root: llb.Scratch(), Ledger: llb.Scratch(), Epoch: DefaultEpoch}
	out, err := g.run(ctx, d.client.at, none, step{
		module: m, part: "fetch " + d.title(), options: options, readonly: true, output: true,
		secrets: d.client.secrets, always: o.Checksum == "", constraints: opts,
	})
	return out.output, "/" + name, err
}

// fetchSources is fetch for sources of the manifest: those that steps download
// are so at once, to say what is wrong before anything long starts. The first
// goes alone, as all are likely to fail for the same reason, the others a few at
// a time; what fails and may not do so again is asked for once more.
func (g *Graph) fetchSources(ctx context.Context, name string, files []download, opts ...llb.ConstraintsOpt) (llb.State, error) {
	return g.fetchBySteps(ctx, "source", name, files, opts...)
}

// fetchBySteps is fetchSources for files of any kind, which what names.
func (g *Graph) fetchBySteps(ctx context.Context, what, name string, files []download, opts ...llb.ConstraintsOpt) (llb.State, error) {
	files = slices.Clone(files)
	get := func(d *download) error {
		st, _, err := g.download(ctx, *d, opts...)
		if err == nil {
			err = d.client.explain(g.opt.Resolver.Evaluate(ctx, st))
		}
		if err != nil {
			return fmt.Errorf("the %s %s: %w", what, d.url, err)
		}
		return nil
	}
	for _, d := range files {
		if err := g.readyClient(ctx, d.client); err != nil {
			return llb.State{}, fmt.Errorf("the %s %s: %w", what, d.url, err)
		}
	}
	errs := make([]error, len(files))
	slots := make(chan struct{}, parallelDownloads)
	var wg sync.WaitGroup
	first := slices.IndexFunc(files, func(d download) bool { return d.client != nil })
	for i := range files {
		if files[i].client == nil {
			continue
		}
		if i == first {
			if errs[i] = get(&files[i]); hopeless(errs[i]) {
				return llb.State{}, errs[i]
			}
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = get(&files[i])
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return llb.State{}, ctx.Err()
		}
		if !hopeless(err) {
			files[i].attempt++
			err = get(&files[i])
		}
		if err != nil {
			return llb.State{}, err
		}
	}
	return g.fetch(ctx, name, files, opts...)
}

// missingSecret is what BuildKit says of a secret that was not given.
var missingSecret = regexp.MustCompile(`secret ([^\n]+): not found`)

// secretError says that a secret was not given with the build.
type secretError struct{ named, id, form string }

// Error says how to give it.
func (e *secretError) Error() string {
	return fmt.Sprintf("%s names the secret %q of the build, which was not given: add --secret id=%s,src=FILE%s", e.named, e.id, e.id, e.form)
}

// clientError is the failure of a step that downloads; its log says more.
type clientError struct {
	text string
	err  error
}

// Error says what the exit code of the step means.
func (e *clientError) Error() string { return e.text }

// Unwrap returns BuildKit's error.
func (e *clientError) Unwrap() error { return e.err }

// byStep says whether a step downloads the file.
func (d download) byStep() bool {
	return d.client != nil && (d.client.open || strings.HasPrefix(d.url, "https://"))
}

// reports says whether a step downloads the file that does not fail without it.
// With a checksum it has to: what has not failed is in the cache.
func (d download) reports() bool {
	return d.mayMiss && d.byStep() && d.sha256 == "" && d.client.checksum == ""
}

// readDownload downloads a file that has to be read to go on, and reads it.
func (g *Graph) readDownload(ctx context.Context, d download, opts ...llb.ConstraintsOpt) ([]byte, error) {
	st, name, err := g.download(ctx, d, opts...)
	if err != nil {
		return nil, err
	}
	if d.reports() {
		report, err := g.opt.Resolver.ReadFile(ctx, st, name+packages.ReportSuffix)
		if err != nil {
			return nil, d.client.explain(err)
		}
		if len(report) > 0 {
			return nil, reportedError(report)
		}
	}
	data, err := g.opt.Resolver.ReadFile(ctx, st, name)
	return data, d.client.explain(err)
}

// reportedError returns the error that a step has reported instead of failing.
func reportedError(report []byte) error {
	var r packages.FetchReport
	if err := json.Unmarshal(report, &r); err != nil {
		return fmt.Errorf("the report of a download: %w", err)
	}
	const most = 300
	text := strings.ToValidUTF8(r.Text[:min(len(r.Text), most)], "")
	text = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return ' '
	}, text)
	return &clientError{downloadFailure(strconv.Itoa(r.Code)) + ": " + text, errors.New(text)}
}

// downloadFailure says what the exit code of a step that downloads means.
func downloadFailure(code string) string {
	switch code {
	case strconv.Itoa(packages.FetchRefused):
		return "the server does not send the file"
	case strconv.Itoa(packages.FetchOther):
		return "the server has another file there, or a page that says that there is none"
	}
	return "the download failed"
}

// explain says what an error of a download means.
func (c *stepClient) explain(err error) error {
	if err == nil || c == nil {
		return err
	}
	if missing := c.missing(err); missing != err {
		return missing
	}
	found := failedStep.FindStringSubmatch(err.Error())
	if found == nil {
		return err
	}
	return &clientError{downloadFailure(found[1]) + ": the log of the step says more", err}
}

// missing explains the error of a step that was not given a secret.
func (c *stepClient) missing(err error) error {
	if err == nil {
		return nil
	}
	if found := missingSecret.FindStringSubmatch(err.Error()); found != nil && c.named[found[1]] != "" {
		form := " with a file in PEM form"
		if c.open {
			form = ""
		}
		return &secretError{c.named[found[1]], found[1], form}
	}
	return err
}

// failedStep is what BuildKit says of a step that has failed.
var failedStep = regexp.MustCompile(`exit code: (\d+)\b`)

// hopeless says that another attempt at the same server would do no better.
func hopeless(err error) bool {
	var missing *secretError
	var failed *clientError
	if !errors.As(err, &failed) {
		return errors.As(err, &missing)
	}
	return !strings.HasPrefix(failed.text, "the download failed")
}
