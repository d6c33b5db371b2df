package llb

import (
	"context"
	"encoding/json"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// credentials are what the mirrors of a stage ask for.
type credentials struct {
	// secret names the secret with the Authorization header, or is empty.
	secret string
	// client is set if BuildKit cannot send it: it does so to the letter, and
	// what echo writes into a file ends in a line end, which no header may have.
	client *stepClient
}

// download is a file of one of the mirrors.
func (c credentials) download(url, name, sha256 string) download {
	return download{url: url, name: name, sha256: sha256, auth: c.secret, client: c.client}
}

// credentials looks at a secret with credentials. A step has to: secrets stay
// with the client until one asks for them.
func (g *Graph) credentials(ctx context.Context, at place, secret string) (credentials, error) {
	key := at.pipeline.Name + " " + secret
	if c, ok := g.auths[key]; ok || secret == "" {
		return c, nil
	}
	m, err := g.part(packages.SecretsPart)
	if err != nil {
		return credentials{}, err
	}
	options, err := json.Marshal(map[string]string{"build": g.opt.Build})
	if err != nil {
		return credentials{}, err
	}
	none := Tree{Root: llb.Scratch(), Ledger: llb.Scratch(), Epoch: DefaultEpoch}
	out, err := g.run(ctx, at, none, step{
		module: m, part: "look at the credentials", options: options, readonly: true, output: true, always: true,
		secrets: []stepSecret{{packages.SecretAuthorization, secret, true}},
	})
	if err != nil {
		return credentials{}, err
	}
	word, err := g.opt.Resolver.ReadFile(ctx, out.output, "/"+packages.AuthorizationFile)
	if err != nil {
		return credentials{}, err
	}
	c := credentials{secret: secret}
	if string(word) == packages.AuthorizationLine {
		c.client = &stepClient{at: at, open: true}
		c.client.add(packages.SecretAuthorization, secret, `"auth"`, false)
		if err := g.readyRoot(ctx, at); err != nil {
			return credentials{}, err
		}
		g.ready[c.client.key()] = true
	}
	g.auths[key] = c
	return c, nil
}
