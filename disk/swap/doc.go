// Package swap writes swap areas: a header in the first page and nothing else,
// as the kernel's include/linux/swap.h gives it. Pages are of 4 KiB.
package swap
