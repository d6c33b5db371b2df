package stages

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// KernelCmdlineOptions are the options of org.osbuild.kernel-cmdline.
type KernelCmdlineOptions struct {
	// The UUID of the root file system.
	RootFSUUID string `json:"root_fs_uuid,omitempty" jsonschema:"pattern=^([0-9A-Za-z]{8}(-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}|[0-9A-Za-z]{4}-[0-9A-Za-z]{4})$"`
	// Further arguments of the kernel, separated by spaces.
	KernelOpts string `json:"kernel_opts,omitempty"`
	// How many bytes the command line may have. Without it, as many as the
	// kernel of the architecture takes.
	Size *int `json:"kernel_cmdline_size,omitempty" jsonschema:"minimum=256,maximum=4096"`
}

// kernelCmdlineStage writes etc/kernel/cmdline, from which kernel-install makes
// the boot entries of kernels that are installed later: in later stages or in
// the running system. The limit that holds where none is given is that of the
// architecture of the image; osbuild takes that of the build machine.
var kernelCmdlineStage = module.Module{
	Name:    "org.osbuild.kernel-cmdline",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "set the command line of kernels that are installed later",
	Options: optionsOf[KernelCmdlineOptions],
	Check:   checkOf[KernelCmdlineOptions],
	Run:     runOf(runKernelCmdline),
}

// cmdlineSizes holds what the kernel takes, by architecture; elsewhere it is
// maxCmdline.
var cmdlineSizes = map[string]int{
	"386": 2048, "amd64": 2048, "arm": 1024, "arm64": 2048, "ppc64le": 2048, "riscv64": 1024,
}

const minCmdline, maxCmdline = 256, 4096

func (o *KernelCmdlineOptions) check() []module.Problem {
	var problems []module.Problem
	bad := func(key, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: key, Message: fmt.Sprintf(format, args...)})
	}
	if o.RootFSUUID != "" && !fsUUID.MatchString(o.RootFSUUID) {
		bad("/root_fs_uuid", "%s is not the UUID of a file system", quote(o.RootFSUUID))
	}
	if hasControl(o.KernelOpts) {
		bad("/kernel_opts", "a line break or another control character cannot stand on a kernel command line")
	}
	most := maxCmdline
	if o.Size != nil {
		most = *o.Size
		if most < minCmdline || most > maxCmdline {
			bad("/kernel_cmdline_size", "%d is not between %d and %d", most, minCmdline, maxCmdline)
			return problems
		}
	}
	if err := o.fits(most); err != nil {
		bad("/kernel_opts", "%v", err)
	}
	return problems
}

func (o *KernelCmdlineOptions) line() string {
	var words []string
	if o.RootFSUUID != "" {
		words = append(words, "root=UUID="+o.RootFSUUID)
	}
	if o.KernelOpts != "" {
		words = append(words, o.KernelOpts)
	}
	return strings.Join(words, " ")
}

func (o *KernelCmdlineOptions) fits(most int) error {
	if n := len(o.line()); n > most {
		return fmt.Errorf("the command line of the kernel has %d bytes and may have %d: shorten it", n, most)
	}
	return nil
}

func runKernelCmdline(in *module.Input, t *tree.Root, o *KernelCmdlineOptions) error {
	if most, ok := cmdlineSizes[runtime.GOARCH]; ok && o.Size == nil {
		if err := o.fits(most); err != nil {
			return err
		}
	}
	// No line break: kernel-install takes the whole file.
	return writeFile(in, t, "etc/kernel/cmdline", []byte(o.line()), 0o644)
}
