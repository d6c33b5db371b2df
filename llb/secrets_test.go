package llb

import (
	"bytes"
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

// withSecrets gives a build a toolbox and the digest of its secrets.
func withSecrets(o *Options) {
	box := llb.Image("toolbox.example")
	o.Toolbox = &box
	o.Resolver.(*answers).files["/digest"] = bytes.Repeat([]byte("5a"), 32)
}

// TestSecretsOfSteps looks which steps get the secret, and how.
func TestSecretsOfSteps(t *testing.T) {
	t.Parallel()
	opt := options(t)
	withSecrets(&opt)
	found := 0
	for _, op := range parse(t, define(t, testManifest(t, encrypted), opt, "assembler")) {
		if f := op.op.GetFile(); f != nil {
			for _, a := range f.Actions {
				if mk := a.GetMkfile(); mk != nil && strings.Contains(string(mk.Data), `"secrets":{"disk-key":"/run/osbuild/secrets/disk-key"},"secrets_digest":{"salt":"`) {
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

func (r *refuses) ReadFile(ctx context.Context, st llb.State, name string) ([]byte, error) {
	def, err := st.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	for _, op := range parse(r.t, def) {
		if op.op.GetExec() != nil {
			md := def.Metadata[op.digest]
			r.ran = append(r.ran, fmt.Sprint(op.name, " always: ", md.IgnoreCache))
		}
	}
	return nil, errors.New("no such secret")
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

// TestDigestOfSecrets looks when the key of a step changes: with the content of
// its secrets, and with nothing else of a build.
func TestDigestOfSecrets(t *testing.T) {
	t.Parallel()
	keys := func(text string, change func(*Options)) (key, salt string, looks []string) {
		t.Helper()
		opt := options(t)
		withSecrets(&opt)
		opt.Build = "one"
		if change != nil {
			change(&opt)
		}
		key = head(t, define(t, testManifest(t, text), opt, "assembler")).String()
		for _, st := range opt.Resolver.(*answers).asked {
			def, err := st.Marshal(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, op := range parse(t, def) {
				for _, a := range op.op.GetFile().GetActions() {
					if _, after, ok := strings.Cut(string(a.GetMkfile().GetData()), `"digest":{`); ok {
						looks = append(looks, op.digest.String())
						_, after, _ = strings.Cut(after, `"salt":"`)
						salt, _, _ = strings.Cut(after, `"`)
					}
				}
			}
		}
		return key, salt, looks
	}
	key, salt, looks := keys(encrypted, nil)
	if len(looks) != 1 || len(salt) != 64 {
		t.Fatalf("the secrets are looked for %d times, with the salt %q", len(looks), salt)
	}
	// The look is not that of another build, which may have other secrets.
	otherKey, otherSalt, otherLooks := keys(encrypted, func(o *Options) { o.Build = "two" })
	if otherKey != key || otherSalt != salt || otherLooks[0] == looks[0] {
		t.Error("in another build the key is another, or the step that looks is the same")
	}
	if other, _, _ := keys(encrypted, func(o *Options) { o.Resolver.(*answers).files["/digest"] = bytes.Repeat([]byte("5b"), 32) }); other == key {
		t.Error("with another secret the key is the same")
	}
	if _, other, _ := keys(strings.Replace(encrypted, `{"passphrase_secret"`, `{"uuid": "0b6fb0a4-9a4e-4b5c-8b1c-7d1b2f0c9e11", "passphrase_secret"`, 1), nil); other == salt {
		t.Error("another disk has the same salt")
	}
	for _, bad := range []string{"", "x", strings.Repeat("g", 64), strings.Repeat("a", 64) + "\n"} {
		opt := options(t)
		withSecrets(&opt)
		opt.Resolver.(*answers).files["/digest"] = []byte(bad)
		if _, err := New(testManifest(t, encrypted), opt).Pipeline(t.Context(), "assembler"); err == nil || !strings.Contains(err.Error(), "digest") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
