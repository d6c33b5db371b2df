// Package expand reads archives and compressed files of strangers. A few bytes of
// such a file may stand for any number: compression that repeats them, and sparse
// members that have none. So what is read has a limit, what is written is counted,
// and what is zero is not written at all.
package expand
