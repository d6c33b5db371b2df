package frontend

import (
	"context"
	"fmt"
	"slices"
	"strings"

	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"

	"github.com/osbuildkit/osbuildkit/lint"
	graph "github.com/osbuildkit/osbuildkit/llb"
)

// LintError says that warnings were to be errors, and there are some.
type LintError struct {
	// Findings are the warnings.
	Findings []lint.Finding
	// By names what has asked for it.
	By string
}

// Error names the rules.
func (e *LintError) Error() string {
	var rules []string
	for _, f := range e.Findings {
		rules = append(rules, f.Rule)
	}
	slices.Sort(rules)
	return fmt.Sprintf("%s, and %s makes warnings errors: %s",
		count(len(e.Findings), "warning"), e.By, strings.Join(slices.Compact(rules), ", "))
}

// findings applies the rules that are not left out.
func (b *build) findings() []lint.Finding {
	c := b.rules.Config
	c.Dated = DatedArgs(b.ui.BuildArgs)
	return lint.Run(b.m, b.catalog, c)
}

// Bounds of what warnings and errors carry: each has the whole manifest with
// it.
const (
	maxWarningData  = 32 << 20 // bytes in all
	maxErrorSources = 10
)

// warn shows what the rules find in the manifest. It is an error if the client
// has asked for that.
func (b *build) warn(ctx context.Context) error {
	findings := b.findings()
	sent := 0
	for _, f := range findings {
		opts := gwclient.WarnOpts{Range: []*pb.Range{graph.Range(f.Span)}, Detail: [][]byte{[]byte(f.Detail)}, URL: f.URL}
		if f.Text.Index != b.m.Index {
			opts.SourceInfo = &pb.SourceInfo{Filename: f.File, Language: b.source.Language, Data: f.Text.Data}
		}
		if sent += len(f.Text.Data); sent > maxWarningData {
			opts.SourceInfo = &pb.SourceInfo{Filename: f.File, Language: b.source.Language}
		}
		b.source.Warn(ctx, fmt.Sprintf("%s: %s (line %d)", f.Rule, f.Message, f.Span.Start.Line), opts)
	}
	if !b.rules.Fail || len(findings) == 0 {
		return nil
	}
	var err error = &LintError{Findings: findings, By: b.rules.By}
	sources := 0
	for _, f := range findings {
		if sources++; f.Text.Index == b.m.Index && sources <= maxErrorSources {
			err = errdefs.WithSource(err, b.errorSource(f.Span))
		}
	}
	return err
}
