package assemblers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/osbuildkit/osbuildkit/module"
)

// secretsOptions are the options of the part that looks whether secrets are
// there.
type secretsOptions struct {
	Secrets []string `json:"secrets"`
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

// runSecrets fails if a secret is missing or empty.
func runSecrets(_ context.Context, in *module.Input) error {
	var o secretsOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	var errs []error
	for _, name := range o.Secrets {
		if _, err := in.ReadSecret(name); err != nil {
			errs = append(errs, fmt.Errorf("the secret %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
