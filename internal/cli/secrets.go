package cli

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets"
	"google.golang.org/grpc"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// lineSecrets serves the secrets of a build. Those that BuildKit itself sends, as
// a header of HTTP, lose the end of their line: it would send that too, and no
// header may have it. Other secrets are read by modules, which know what they
// are.
type lineSecrets struct {
	secrets.SecretsServer
	// lines are the secrets that the manifest names as credentials.
	lines map[string]bool
}

// serveLines returns what serves the secrets of served for a manifest.
func serveLines(served session.Attachable, m *manifest.Manifest) session.Attachable {
	server, ok := served.(secrets.SecretsServer)
	if !ok {
		return served
	}
	s := &lineSecrets{server, map[string]bool{}}
	for _, p := range m.Pipelines {
		for _, st := range p.Stages {
			var o packages.AptOptions
			if st.Type == packages.AptStage && json.Unmarshal(st.Options, &o) == nil && o.Auth != "" {
				s.lines[o.Auth] = true
			}
		}
	}
	return s
}

// Register adds the service to a session.
func (s *lineSecrets) Register(server *grpc.Server) { secrets.RegisterSecretsServer(server, s) }

// builtinLines begin the names under which BuildKit asks for credentials by
// itself, for a host.
var builtinLines = []string{"HTTP_AUTH_HEADER_", "HTTP_AUTH_TOKEN_", "GIT_AUTH_HEADER", "GIT_AUTH_TOKEN"}

// GetSecret returns one secret.
func (s *lineSecrets) GetSecret(ctx context.Context, req *secrets.GetSecretRequest) (*secrets.GetSecretResponse, error) {
	resp, err := s.SecretsServer.GetSecret(ctx, req)
	if err != nil {
		return nil, err
	}
	line := s.lines[req.ID]
	for _, begin := range builtinLines {
		line = line || strings.HasPrefix(req.ID, begin)
	}
	if line {
		resp.Data = module.SecretLine(resp.Data)
	}
	return resp, nil
}
