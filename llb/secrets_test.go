package llb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
)

const encrypted = `{"stages": [{"name": "org.osbuild.noop"}], "assembler": {"name": "org.osbuild.qemu", "options": {"format": "raw", "filename": "d", "size": 1073741824,
	"partitions": [{"luks": {"passphrase_secret": "disk-key"}, "filesystem": {"type": "ext4", "mountpoint": "/"}}]}}}`

// TestSecretsOfSteps looks which steps get the secret, and how.
func TestSecretsOfSteps(t *testing.T) {
	t.Parallel()
	opt := options(t)
	box := llb.Image("toolbox.example")
	opt.Toolbox = &box
	found := 0
	for _, op := range parse(t, define(t, testManifest(t, encrypted), opt, "assembler")) {
		if f := op.op.GetFile(); f != nil {
			for _, a := range f.Actions {
				if mk := a.GetMkfile(); mk != nil && strings.Contains(string(mk.Data), `"secrets":{"disk-key":"/run/osbuild/secrets/disk-key"}`) {
					found++
				}
			}
		}
		e := op.op.GetExec()
		if e == nil {
			continue
		}
		for _, m := range e.Mounts {
			if m.MountType != pb.MountType_SECRET {
				continue
			}
			found++
			if op.name != "[assembler 1/1] org.osbuild.qemu" || m.Dest != "/run/osbuild/secrets/disk-key" || m.SecretOpt.ID != "disk-key" || m.SecretOpt.Mode != 0o400 {
				t.Errorf("%s has %v", op.name, m)
			}
		}
	}
	if found != 2 {
		t.Errorf("%d places name the secret, want a mount and a contract", found)
	}
}

// refuses is a Resolver that remembers the steps it was to run, and fails.
type refuses struct {
	answers
	t   *testing.T
	ran []string
}

func (r *refuses) Evaluate(ctx context.Context, st llb.State) error {
	def, err := st.Marshal(ctx)
	if err != nil {
		return err
	}
	for _, op := range parse(r.t, def) {
		if op.op.GetExec() != nil {
			md := def.Metadata[op.digest]
			r.ran = append(r.ran, fmt.Sprint(op.name, " always: ", md.IgnoreCache))
		}
	}
	return errors.New("no such secret")
}

func TestCheckSecrets(t *testing.T) {
	t.Parallel()
	opt := options(t)
	r := &refuses{t: t}
	opt.Resolver = r
	m := testManifest(t, encrypted)
	err := New(m, opt).CheckSecrets(t.Context(), m.Pipelines)
	var at *Error
	if !errors.As(err, &at) || at.Pointer != "/assembler" || at.What != "org.osbuild.qemu" {
		t.Errorf("%v", err)
	}
	if want := "[[assembler 1/1] org.osbuild.qemu: look for its secrets always: true]"; fmt.Sprint(r.ran) != want {
		t.Errorf("the steps %s ran, want %s", r.ran, want)
	}
	// Others are not asked.
	m = testManifest(t, strings.Replace(encrypted, `"luks": {"passphrase_secret": "disk-key"}, `, "", 1))
	r.ran = nil
	if err := New(m, opt).CheckSecrets(t.Context(), m.Pipelines); err != nil || r.ran != nil {
		t.Errorf("%v, %v", err, r.ran)
	}
}
