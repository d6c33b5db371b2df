package stages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
)

// OSTreeFetch is the name of the part that fetches a commit for
// org.osbuild.ostree.
const OSTreeFetch = "org.osbuild.ostree.fetch"

// ostreeFetchOptions are the options of the part.
type ostreeFetchOptions struct {
	Commit string       `json:"commit"`
	Remote ostreeSource `json:"remote"`
}

// ostreeSource says where a commit is, as the sources of format v1 do.
type ostreeSource struct {
	URL        string          `json:"url"`
	ContentURL string          `json:"contenturl,omitempty"`
	GPGKeys    []string        `json:"gpgkeys,omitempty"`
	Secrets    json.RawMessage `json:"secrets,omitempty"`
}

// ostreeFetchPart writes a repository with one commit into its output
// directory. What it writes is named by the commit, so that the network is no
// way for anything else to get into the tree.
var ostreeFetchPart = module.Module{
	Name:    OSTreeFetch,
	Kind:    module.Stage,
	Sandbox: module.Tools,
	Group:   module.GroupStages,
	Network: func(json.RawMessage) bool { return true },
	Summary: "fetch a commit of OSTree",
	Run:     toolOf(runOSTreeFetch),
}

func (o *ostreeFetchOptions) check() []module.Problem {
	var problems []module.Problem
	if !commitForm.MatchString(o.Commit) {
		problems = append(problems, module.Problem{Pointer: "/commit", Message: quote(o.Commit) + " is not a commit: give all its 64 hex digits"})
	}
	if !isAddress(o.Remote.URL) || strings.HasPrefix(o.Remote.URL, "file:") {
		problems = append(problems, module.Problem{Pointer: "/remote/url", Message: quote(o.Remote.URL) + " is not an http or https address"})
	}
	if o.Remote.ContentURL != "" && !isAddress(strings.TrimPrefix(o.Remote.ContentURL, "mirrorlist=")) {
		problems = append(problems, module.Problem{Pointer: "/remote/contenturl", Message: quote(o.Remote.ContentURL) + " is not an address"})
	}
	if len(o.Remote.Secrets) > 0 {
		problems = append(problems, module.Problem{Pointer: "/remote/secrets", Message: "repositories that ask for a client certificate are not supported: mirror the commit to one that does not"})
	}
	return problems
}

func runOSTreeFetch(ctx context.Context, in *module.Input, o *ostreeFetchOptions) error {
	program, err := findTool(in, "ostree", "ostree and ca-certificates")
	if err != nil {
		return err
	}
	if in.OutputDir == "" {
		return errors.New("the contract names no \"output_dir\"")
	}
	repo := "--repo=" + filepath.Join(in.OutputDir, repoDir)
	if err := program.run(ctx, "init", repo, "--mode=archive"); err != nil {
		return err
	}
	if err := addRemote(ctx, program, repo, "origin", o.Remote.URL, o.Remote.ContentURL, o.Remote.GPGKeys, nil); err != nil {
		return err
	}
	if err := program.run(ctx, "pull", repo, "origin", o.Commit); err != nil {
		return fmt.Errorf("fetching the commit %s from %s: %w", o.Commit, o.Remote.URL, err)
	}
	// The address of a mirror is no part of the result.
	return program.run(ctx, "remote", "delete", repo, "origin")
}
