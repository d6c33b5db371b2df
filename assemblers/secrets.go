package assemblers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/osbuildkit/osbuildkit/module"
)

// secretsOptions are the options of the part that looks whether secrets are
// there.
type secretsOptions struct {
	Secrets []string `json:"secrets"`
	// Digest says how their digest is made.
	Digest module.SecretsDigest `json:"digest"`
	// Build tells the step from that of another build, which may have other
	// secrets: BuildKit runs equal steps of two builds at once only once.
	Build string `json:"build"`
}

// partSecrets lists the secrets that the options of the part name.
func partSecrets(options json.RawMessage) []module.Secret {
	var o secretsOptions
	if json.Unmarshal(options, &o) != nil {
		return nil
	}
	var out []module.Secret
	for i, name := range o.Secrets {
		out = append(out, module.Secret{Name: name, Pointer: fmt.Sprintf("/secrets/%d", i)})
	}
	return out
}

// runSecrets fails if a secret is missing or empty, and writes the digest of all.
func runSecrets(_ context.Context, in *module.Input) error {
	var o secretsOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	if err := o.Digest.Compute(in); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(in.OutputDir, module.SecretsDigestFile), []byte(o.Digest.Sum), 0o600)
}
