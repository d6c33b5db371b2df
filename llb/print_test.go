package llb

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
)

// parsedOp is one operation of a definition.
type parsedOp struct {
	digest digest.Digest
	op     *pb.Op
	name   string
}

// parse returns the operations of a definition, inputs first.
func parse(t testing.TB, def *llb.Definition) []parsedOp {
	t.Helper()
	var out []parsedOp
	for _, data := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(data); err != nil {
			t.Fatal(err)
		}
		d := digest.FromBytes(data)
		name := def.Metadata[d].Description["llb.customname"]
		out = append(out, parsedOp{d, &op, name})
	}
	return out
}

// head returns the digest of the operation that a definition is about.
func head(t testing.TB, def *llb.Definition) digest.Digest {
	t.Helper()
	d, err := def.Head()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// checkGolden compares a printed graph with testdata/NAME.golden.
func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("the graph has changed (go test ./llb -update writes it anew):\n%s", d)
	}
}

// keyText is what makes step descriptions unreadable.
var keyText = regexp.MustCompile(`-----BEGIN PGP[^"]*`)

// printDefinition writes a definition so that a change in it can be read: one
// paragraph for each operation, inputs by number.
func printDefinition(t testing.TB, def *llb.Definition) string {
	t.Helper()
	var b strings.Builder
	numbers := map[string]int{}
	for i, op := range parse(t, def) {
		numbers[op.digest.String()] = i + 1
		if op.op.Op == nil {
			continue
		}
		fmt.Fprintf(&b, "%d. %s\n", i+1, op.name)
		var in []string
		for _, input := range op.op.Inputs {
			in = append(in, fmt.Sprintf("%d:%d", numbers[input.Digest], input.Index))
		}
		switch o := op.op.Op.(type) {
		case *pb.Op_Source:
			fmt.Fprintf(&b, "   source %s\n", o.Source.Identifier)
			for _, k := range sortedKeys(o.Source.Attrs) {
				fmt.Fprintf(&b, "     %s=%s\n", k, o.Source.Attrs[k])
			}
		case *pb.Op_File:
			printFile(&b, o.File, in)
		case *pb.Op_Exec:
			printExec(&b, o.Exec, in)
		default:
			t.Fatalf("unexpected operation %T", o)
		}
	}
	return b.String()
}

func printFile(b *strings.Builder, f *pb.FileOp, in []string) {
	for _, a := range f.Actions {
		switch v := a.Action.(type) {
		case *pb.FileAction_Copy:
			how := ""
			if v.Copy.FollowSymlink {
				how += ", following links"
			}
			fmt.Fprintf(b, "   copy %s%s to %s%s\n", in[a.SecondaryInput], v.Copy.Src, v.Copy.Dest, how)
		case *pb.FileAction_Mkdir:
			fmt.Fprintf(b, "   mkdir %s %o\n", v.Mkdir.Path, v.Mkdir.Mode)
		case *pb.FileAction_Mkfile:
			text := keyText.ReplaceAllString(string(v.Mkfile.Data), "KEYS")
			if len(text) > 400 || !json.Valid([]byte(text)) {
				text = fmt.Sprintf("%d bytes, %s", len(v.Mkfile.Data), digest.FromBytes(v.Mkfile.Data))
			}
			fmt.Fprintf(b, "   mkfile %s %o %s\n", v.Mkfile.Path, v.Mkfile.Mode, text)
		default:
			fmt.Fprintf(b, "   %s\n", a)
		}
	}
}

func printExec(b *strings.Builder, e *pb.ExecOp, in []string) {
	fmt.Fprintf(b, "   exec %s\n   network %s, security %s, host name %s\n",
		strings.Join(e.Meta.Args, " "), strings.ToLower(e.Network.String()), strings.ToLower(e.Security.String()), e.Meta.Hostname)
	for _, m := range e.Mounts {
		from := "empty"
		if m.Input >= 0 {
			from = in[m.Input]
		}
		if m.MountType == pb.MountType_TMPFS {
			from = "tmpfs"
		}
		access := "rw"
		if m.Readonly {
			access = "ro"
		}
		out := ""
		if m.Output >= 0 {
			out = fmt.Sprintf(" -> %d", m.Output)
		}
		fmt.Fprintf(b, "     %s %s %s%s%s\n", m.Dest, from, access, strings.TrimSuffix(" "+m.Selector, " "), out)
	}
}
