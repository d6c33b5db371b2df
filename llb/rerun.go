package llb

import (
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
)

// RerunDependents makes every operation of a definition run again that reads,
// directly or not, what an operation with llb.IgnoreCache makes. The key of an
// operation is its definition and those of its inputs, not their content: where
// a step runs again and makes something else, BuildKit would still take the
// result of a later operation from the cache, and so that of the earlier build.
func RerunDependents(def *llb.Definition) error {
	again := map[digest.Digest]bool{}
	// Each operation comes after those that it reads.
	for _, data := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(data); err != nil {
			return err
		}
		if op.Op == nil {
			continue // names the result
		}
		name := digest.FromBytes(data)
		meta := def.Metadata[name]
		for _, in := range op.Inputs {
			meta.IgnoreCache = meta.IgnoreCache || again[digest.Digest(in.Digest)]
		}
		if meta.IgnoreCache {
			again[name] = true
			def.Metadata[name] = meta
		}
	}
	return nil
}
