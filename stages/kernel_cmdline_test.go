package stages

import (
	"runtime"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestKernelCmdline(t *testing.T) {
	t.Parallel()
	const uuid = "76a22bf4-f153-4541-b6c7-0332c0dfaeac"
	file := func(text string) treetest.Tree {
		return treetest.Tree{"etc/kernel/cmdline": treetest.File(text)}
	}
	long := func(n int) string { return `{"kernel_opts": "` + strings.Repeat("a", n) + `"` }
	runCases(t, "org.osbuild.kernel-cmdline", []treeCase{
		{name: "both", options: `{"root_fs_uuid": "` + uuid + `", "kernel_opts": "ro console=ttyS0"}`, after: file("root=UUID=" + uuid + " ro console=ttyS0")},
		{name: "uuid", before: file("old text"), options: `{"root_fs_uuid": "ABCD-1234"}`, after: file("root=UUID=ABCD-1234")},
		{name: "options", options: `{"kernel_opts": "a=\"b c\""}`, after: file(`a="b c"`)},
		{name: "nothing", before: file("old"), options: `{}`, after: file("")},
		{name: "limit given", options: long(4096) + `, "kernel_cmdline_size": 4096}`, after: file(strings.Repeat("a", 4096))},
		{name: "over the limit given", before: file("old"), options: long(257) + `, "kernel_cmdline_size": 256}`, err: "has 257 bytes and may have 256"},
		{name: "over every limit", before: file("old"), options: long(4097) + `}`, err: "has 4097 bytes and may have 4096"},
	})
	most, ok := cmdlineSizes[runtime.GOARCH]
	if !ok {
		return
	}
	runCases(t, "org.osbuild.kernel-cmdline", []treeCase{
		{name: "limit of the architecture", options: long(most) + `}`, after: file(strings.Repeat("a", most))},
		{name: "over the limit of the architecture", options: long(most+1) + `}`, err: "shorten it"},
	})
}

func TestKernelCmdlineCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.kernel-cmdline", []checkCase{
		{`{}`, nil},
		{`{"root_fs_uuid": "x"}`, []string{"/root_fs_uuid: not the UUID"}},
		{`{"kernel_opts": "a\nb"}`, []string{"/kernel_opts: line break"}},
		{`{"kernel_cmdline_size": 255}`, []string{"/kernel_cmdline_size: between 256 and 4096"}},
		{`{"kernel_cmdline_size": 4097}`, []string{"/kernel_cmdline_size: between 256 and 4096"}},
	})
}
