package frontend

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	digest "github.com/opencontainers/go-digest"
)

// warned is a gateway that keeps the warnings.
type warned struct {
	*fake
	warnings []string
}

func (w *warned) Warn(_ context.Context, _ digest.Digest, msg string, opts gwclient.WarnOpts) error {
	w.warnings = append(w.warnings, fmt.Sprintf("%s:%d:%d: %s", opts.SourceInfo.Filename, opts.Range[0].Start.Line, opts.Range[0].Start.Character, msg))
	return nil
}

const withArgs = `{
	"args": {"host": {"type": "string"}, "SOURCE_DATE_EPOCH": {"type": "integer", "default": 1600000000}},
	"stages": [{"name": "org.osbuild.hostname", "options": {"hostname": {"$format": "h-${host}"}}}]
}`

// Build arguments reach the steps, and those that do not are warned about.
func TestBuildArgs(t *testing.T) {
	t.Parallel()
	for epoch, want := range map[string]string{"": "1600000000", "1700000000": "1700000000"} {
		f := &warned{fake: newFake(withArgs)}
		for name, value := range map[string]string{"host": "a", "hots": "b", MirrorArg: "http://mirror.example", "BUILDKIT_INLINE_CACHE": "1", EpochArg: epoch} {
			f.opts["build-arg:"+name] = value
		}
		out, err := Build(t.Context(), f, config())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{`image.json:2:1: the build argument "hots" is not declared and has no effect; did you mean "host"?`}, f.warnings); diff != "" {
			t.Errorf("warnings (-want +got):\n%s", diff)
		}
		if got := string(out.Result.Metadata["source.date.epoch"]); got != want {
			t.Errorf("epoch %s, want %s", got, want)
		}
		var text strings.Builder
		for _, d := range f.solved[len(f.solved)-1].Def {
			text.Write(d)
		}
		if !strings.Contains(text.String(), `"hostname":"h-a"`) || !strings.Contains(text.String(), `"epoch":`+want) {
			t.Error("an argument does not reach the step")
		}
	}
}

func TestMissingBuildArg(t *testing.T) {
	t.Parallel()
	_, err := Build(t.Context(), newFake(withArgs), config())
	const want = `image.json:2:11: the build argument "host" is not given and has no default (at /args/host); give it with --build-arg host=VALUE, or declare a "default"`
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
