//go:build !unix

package limit

import "io/fs"

// Held is how many bytes a file takes at most.
func Held(st fs.FileInfo) int64 { return st.Size() }
