// Package limit bounds what one command spends on a disk that nobody trusts:
// how much it reads and unpacks, how many files it looks at, how deep and how
// long their paths are, how many file systems and boot loaders it opens.
//
// Every bound is a constant with its reason. What exceeds one is an error that
// wraps ErrExceeded and names it. The same Budget carries the context of the
// command, so that work on a disk ends when the command is to end.
package limit
