package llb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/moby/buildkit/client/llb"
	"github.com/opencontainers/go-digest"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// SecretsPart is the part of assemblers that fails if a secret is missing, and
// makes a digest of all.
const SecretsPart = "org.osbuildkit.secrets"

// stepSecret is a secret of the build that a step can read.
type stepSecret struct {
	// name is what the step knows it by, and id the build.
	name, id string
	// optional says that there may be none with that id.
	optional bool
}

// allSecrets lists the secrets of a step. What a module asks for need not be
// there for BuildKit: the module says it best if one is missing.
func (s step) allSecrets() []stepSecret {
	out := slices.Clone(s.secrets)
	if s.module.Secrets != nil {
		for _, secret := range s.module.Secrets(s.options) {
			out = append(out, stepSecret{secret.Name, secret.Name, true})
		}
	}
	return out
}

// secretFiles says where each secret is; nil if there are none.
func (s step) secretFiles() map[string]string {
	var out map[string]string
	for _, secret := range s.allSecrets() {
		if out == nil {
			out = map[string]string{}
		}
		out[secret.name] = secretsDir + "/" + secret.name
	}
	return out
}

// secretMounts are the mounts of the secrets.
func (s step) secretMounts() []llb.RunOption {
	var opts []llb.RunOption
	seen := map[string]bool{}
	for _, secret := range s.allSecrets() {
		if seen[secret.name] {
			continue
		}
		seen[secret.name] = true
		o := []llb.SecretOption{llb.SecretID(secret.id), llb.SecretFileOpt(0, 0, 0o400)}
		if secret.optional {
			o = append(o, llb.SecretOptional)
		}
		opts = append(opts, llb.AddSecret(secretsDir+"/"+secret.name, o...))
	}
	return opts
}

// CheckSecrets makes sure that the build was given the secrets that the stages
// of pipelines name, before anything long starts.
func (g *Graph) CheckSecrets(ctx context.Context, pipelines []*manifest.Pipeline) error {
	for _, p := range pipelines {
		for i, s := range p.Stages {
			if g.opt.Program != nil && g.opt.Program(s.Kind, s.Type) != nil {
				continue
			}
			m := g.opt.Module(s.Kind, s.Type)
			if m == nil {
				continue
			}
			at := place{pipeline: p, stage: s, number: i + 1, label: g.opt.Label}
			if _, err := g.secretsDigest(ctx, at, step{module: m, options: s.Options}); err != nil {
				return placed(p, s.Pointer, s.Type, err)
			}
		}
	}
	return nil
}

// secretsDigest returns the digest of the secrets that shape what a step makes; nil
// if there are none. BuildKit knows nothing of their content, and would else take
// from the cache what was made with others. A step has to look: secrets stay with
// the client until one asks for them. It runs once in each build for each stage that
// names secrets; all others wait for nothing.
func (g *Graph) secretsDigest(ctx context.Context, at place, s step) (*module.SecretsDigest, error) {
	if s.module.Secrets == nil || s.module.Name == SecretsPart {
		return nil, nil
	}
	secrets := s.module.Secrets(s.options)
	if len(secrets) == 0 {
		return nil, nil
	}
	if d, ok := g.digests[at.stage]; ok {
		return d, nil
	}
	m := g.opt.Module(module.Assembler, SecretsPart)
	if m == nil {
		return nil, errors.New("there is no " + SecretsPart)
	}
	public, err := s.sealed(DefaultEpoch)
	if err != nil {
		return nil, err
	}
	d, err := newDigest(at.stage, public, secrets)
	if err != nil {
		return nil, err
	}
	options, err := json.Marshal(map[string]any{"secrets": sortedKeys(s.secretFiles()), "digest": d, "build": g.opt.Build})
	if err != nil {
		return nil, err
	}
	out, err := g.run(ctx, at, Tree{Root: llb.Scratch(), Ledger: llb.Scratch(), Epoch: DefaultEpoch},
		step{module: m, part: "look for its secrets", options: options, readonly: true, output: true, always: true})
	if err != nil {
		return nil, err
	}
	sum, err := g.opt.Resolver.ReadFile(ctx, out.output, "/"+module.SecretsDigestFile)
	if err != nil {
		return nil, err
	}
	if !digestForm.Match(sum) {
		return nil, fmt.Errorf("the digest of the secrets is %.80q", sum)
	}
	d.Sum = string(sum)
	g.digests[at.stage] = d
	return d, nil
}

// digestForm is the form of the digest of secrets.
var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// newDigest returns how the digest of a stage's secrets is made. The salt is of
// the stage and its sealed options, such as the UUID of a disk: who prepares guesses
// prepares them for one, and equal secrets of two do not show.
func newDigest(s *manifest.Stage, options json.RawMessage, secrets []module.Secret) (*module.SecretsDigest, error) {
	text, err := manifest.Canonical(options)
	if err != nil {
		return nil, fmt.Errorf("options: %w", err)
	}
	d := &module.SecretsDigest{Salt: digest.FromString(string(s.Kind) + "\x00" + s.Type + "\x00" + string(text)).Encoded()}
	for _, secret := range secrets {
		d.Cost = d.Cost.Max(secret.Cost)
	}
	return d, nil
}
