//go:build unix

package limit

import (
	"io/fs"
	"syscall"
)

// Held is how many bytes a file really takes: what is a hole in it costs
// nothing, so nothing may be worth it.
func Held(st fs.FileInfo) int64 {
	// A file of no block at all is one whose content lies beside its name, or
	// one of a file system that does not say.
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Blocks > 0 {
		return min(st.Size(), int64(sys.Blocks)*512)
	}
	return st.Size()
}
