package packages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/tree"
)

// policyVariable names the file with the policy of an rpm that is built with
// Sequoia.
const policyVariable = "RPM_SEQUOIA_CRYPTO_POLICY"

// importPolicy makes such an rpm take the keys of distributions. Most of those
// made before 2023 certify themselves with SHA-1, which the policy of others
// refuses. Nothing is verified with it: what decides is done before. Without
// the file the policy would be that of the tree, or of the build root.
const importPolicy = `[hash_algorithms]
sha1.collision_resistance = "always"
sha1.second_preimage_resistance = "always"

[asymmetric_algorithms]
rsa1024 = "always"
dsa1024 = "always"
`

// writePolicy writes the policy into a directory and returns what the
// environment needs.
func writePolicy(dir string) (string, error) {
	file := filepath.Join(dir, "sequoia-policy.toml")
	return policyVariable + "=" + file, os.WriteFile(file, []byte(importPolicy), 0o644)
}

// newerKey says that only the newest programs read a key: that an rpm does not
// take it is no fault of the manifest's.
func newerKey(key rpmmd.Key) bool { return key.Version > 4 }

// lacksKey says what is missing then.
func lacksKey(key rpmmd.Key) string {
	return fmt.Sprintf("warning: the build root's rpm does not read keys of version %d (%s), so the system's rpm will not know key %s", key.Version, key.Algorithm, key.Fingerprint)
}

// importKeys makes public keys known to the system's rpm, each by itself and
// in the one form that every rpm reads.
func (r *rpmRun) importKeys(ctx context.Context, in *module.Input, keys *rpmmd.Keys) error {
	for i, key := range keys.Split() {
		file := filepath.Join(r.work, fmt.Sprintf("key-%d.asc", i))
		if err := os.WriteFile(file, key.Armor(), 0o644); err != nil {
			return err
		}
		err := r.run(ctx, in, "rpmkeys", "--import", file)
		var failed *command.Error
		switch info := key.List()[0]; {
		case errors.As(err, &failed) && newerKey(info):
			in.Logf("%s", lacksKey(info))
		case err != nil:
			return fmt.Errorf("the build root's rpm does not take the public key %s (%s): %w", info.Fingerprint, info.Algorithm, err)
		}
	}
	return nil
}

// treeKeys reads the public keys in a file of the tree.
func treeKeys(t *tree.Root, name string) (*rpmmd.Keys, error) {
	st, err := t.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	f, err := t.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, rpmmd.MaxKeys+1))
	if err != nil {
		return nil, err
	}
	keys, err := rpmmd.ReadKeys(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return keys, nil
}

// dnfKey is a public key as dnf_job.py reads it.
type dnfKey struct {
	// Packets is the key in binary.
	Packets []byte `json:"packets"`
	// Name is for messages.
	Name string `json:"name"`
	// Lacking is the warning if rpm may refuse the key, or empty.
	Lacking string `json:"lacking,omitempty"`
}

func dnfKeys(keys *rpmmd.Keys) []dnfKey {
	var out []dnfKey
	for _, key := range keys.Split() {
		info := key.List()[0]
		k := dnfKey{Packets: key.Packets(), Name: info.Fingerprint + " (" + info.Algorithm + ")"}
		if newerKey(info) {
			k.Lacking = lacksKey(info)
		}
		out = append(out, k)
	}
	return out
}
