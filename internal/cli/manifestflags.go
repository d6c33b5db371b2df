package cli

import (
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// manifestFlags are the flags that say how a manifest is read. They are the
// same for every command that reads one, so that each sees the same ids.
type manifestFlags struct {
	buildEnv  string
	buildArgs []string
	libdir    string
	// modules are those to check against if they are not in libdir.
	modules manifest.Catalog
	// idsOnly says that nothing will be built.
	idsOnly bool
}

func (f *manifestFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.buildEnv, "build-env", "", "`FILE` with the environment that the innermost build root is built in")
	fl.StringArrayVar(&f.buildArgs, "build-arg", nil, "set a build argument, `NAME=VALUE`")
	addLibdirFlag(fl, &f.libdir)
}

// arguments returns the build arguments. Like other programs that build, this
// one takes SOURCE_DATE_EPOCH from its environment too.
func (f *manifestFlags) arguments() (map[string]string, error) {
	args := map[string]string{}
	for _, v := range f.buildArgs {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, usageError("--build-arg %q: write NAME=VALUE", v)
		}
		args[name] = value
	}
	if epoch, ok := os.LookupEnv(frontend.EpochArg); ok && args[frontend.EpochArg] == "" {
		args[frontend.EpochArg] = epoch
	}
	if _, err := frontend.ParseSnapshotArg(args[frontend.SnapshotArg]); err != nil {
		return nil, usageError("--build-arg %w", err)
	}
	if err := frontend.CheckMirrorArg(args[frontend.MirrorArg]); err != nil {
		return nil, usageError("--build-arg %w", err)
	}
	if err := checkEpoch(args[frontend.EpochArg]); err != nil {
		return nil, err
	}
	return args, nil
}
