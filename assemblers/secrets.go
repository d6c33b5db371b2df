package assemblers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"unicode/utf8"

	"github.com/osbuildkit/osbuildkit/module"
)

// maxSecret bounds what is read of a secret.
const maxSecret = 64 << 10

// readSecret reads a secret of the build. A text of one line loses the end of
// the line, which editors add and nobody types.
func readSecret(in *module.Input, name string) ([]byte, error) {
	file := in.Secrets[name]
	if file == "" {
		return nil, errors.New("the contract names no file for it")
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the build has no such secret: give it with --secret id=%s,src=FILE", name)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSecret {
		return nil, fmt.Errorf("it is larger than %d bytes", maxSecret)
	}
	line, rest, found := bytes.Cut(data, []byte("\n"))
	isText := utf8.Valid(line) && !bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
	if found && len(rest) == 0 && isText {
		data = line
	}
	if len(data) == 0 {
		return nil, errors.New("it is empty")
	}
	return data, nil
}

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
		if _, err := readSecret(in, name); err != nil {
			errs = append(errs, fmt.Errorf("the secret %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
