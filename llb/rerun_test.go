package llb

import (
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/rpmmd"
)

// Whatever is made of what runs again runs again, and nothing else does.
func TestRerunDependents(t *testing.T) {
	t.Parallel()
	// The two trees have no step in common.
	m := testManifest(t, strings.Replace(whole, `KEYRING}}]},`, `KEYRING, "variant": "required"}}]},`, 1))
	for pipeline, want := range map[string][]string{
		"tree":      {"assembler", "list", "tree"},
		"assembler": {"assembler", "list"},
		// Stages that edit files do not wait for the build root.
		"build":   {"assembler", "build", "list", "tree 2", "tree 3", "tree 4"},
		"nowhere": nil,
	} {
		t.Run(pipeline, func(t *testing.T) {
			t.Parallel()
			opt := options(t)
			opt.NoCache = func(name string) bool { return name == pipeline }
			tree, err := New(m, opt).Pipeline(t.Context(), "assembler")
			if err != nil {
				t.Fatal(err)
			}
			// What the frontend puts beside the image.
			last := tree.Root.File(llb.Mkfile("/list", 0o644, []byte("x")), llb.WithCustomName("[list]"))
			def, err := last.Marshal(t.Context(), llb.Platform(amd64))
			if err != nil {
				t.Fatal(err)
			}
			before := len(def.Def)
			if err := RerunDependents(def); err != nil || len(def.Def) != before {
				t.Fatalf("%v, %d operations of %d", err, len(def.Def), before)
			}
			found := map[string]bool{}
			for _, op := range parse(t, def) {
				again := def.Metadata[op.digest].IgnoreCache
				if reads := readsAgain(def, op.op); reads && !again {
					t.Errorf("%s comes from the cache, and what it is made of does not", op.name)
				}
				if again && (op.op.GetExec() != nil || op.name == "[list]") {
					found[rerunGroup(op.name, want)] = true
				}
			}
			var got []string
			for name := range found {
				got = append(got, name)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("these run again: %q, want %q", got, want)
			}
		})
	}
}

// readsAgain says whether an input of an operation runs again.
func readsAgain(def *llb.Definition, op *pb.Op) bool {
	return op.Op != nil && slices.ContainsFunc(op.Inputs, func(in *pb.Input) bool {
		return def.Metadata[digest.Digest(in.Digest)].IgnoreCache
	})
}

// rerunGroup is the shortest of the wanted names that a step's name begins with,
// or the name itself.
func rerunGroup(name string, want []string) string {
	for _, w := range want {
		if strings.HasPrefix(name, "["+w+" ") || strings.HasPrefix(name, "["+w+"/") || strings.HasPrefix(name, "["+w+"]") {
			return w
		}
	}
	return name
}

// Metadata that are verified by any checksum come from the cache: what runs in
// each build makes all that reads it run in each build.
func TestVerifiedMetadataAreCached(t *testing.T) {
	t.Parallel()
	at := place{pipeline: dnfManifest(t, `"baseurl": "https://a.example"`, "").Pipelines[0], number: 1}
	at.stage = at.pipeline.Stages[0]
	client := sourceClient("x", false)
	client.at = at
	s := &rpmSource{mirrors: []string{"https://a.example"}, client: client, sum: strings.Repeat("a", 64), solve: []rpmmd.Data{
		{Location: "repodata/one.xml", Checksum: rpmmd.Checksum{Algorithm: "sha256", Hex: strings.Repeat("b", 64)}},
		{Location: "repodata/two.xml", Checksum: rpmmd.Checksum{Algorithm: "sha512", Hex: strings.Repeat("c", 128)}},
	}}
	g := New(&manifest.Manifest{}, rpmOptions(t, newNetwork()))
	files, err := s.files(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range files {
		st, _, err := g.download(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		def, err := st.Marshal(t.Context(), llb.Platform(amd64))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := clientSteps(t, def)[d.url]; !ok || strings.Contains(got, "always") {
			t.Errorf("%s: %q", d.url, got)
		}
	}
}
