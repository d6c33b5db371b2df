package llb

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// SecretsPart is the part of assemblers that fails if a secret is missing.
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
// of pipelines name, before anything long starts. A step has to look: secrets
// stay with the client until one asks for them. It takes the time of one small
// step for each stage that names secrets, and nothing for others.
func (g *Graph) CheckSecrets(ctx context.Context, pipelines []*manifest.Pipeline) error {
	for _, p := range pipelines {
		for i, s := range p.Stages {
			if g.opt.Program != nil && g.opt.Program(s.Kind, s.Type) != nil {
				continue
			}
			m := g.opt.Module(s.Kind, s.Type)
			if m == nil || len((step{module: m, options: s.Options}).allSecrets()) == 0 {
				continue
			}
			at := place{pipeline: p, stage: s, number: i + 1, label: g.opt.Label}
			if err := g.checkSecrets(ctx, at, step{module: m, options: s.Options}.secretFiles()); err != nil {
				return placed(p, s.Pointer, s.Type, err)
			}
		}
	}
	return nil
}

func (g *Graph) checkSecrets(ctx context.Context, at place, files map[string]string) error {
	m := g.opt.Module(module.Assembler, SecretsPart)
	if m == nil {
		return errors.New("there is no " + SecretsPart)
	}
	options, err := json.Marshal(map[string]any{"secrets": sortedKeys(files)})
	if err != nil {
		return err
	}
	out, err := g.run(ctx, at, Tree{Root: llb.Scratch(), Ledger: llb.Scratch(), Epoch: DefaultEpoch},
		step{module: m, part: "look for its secrets", options: options, readonly: true, output: true, always: true})
	if err != nil {
		return err
	}
	return g.opt.Resolver.Evaluate(ctx, out.output)
}
