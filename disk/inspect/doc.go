// Package inspect says what is on a disk: partitions, file systems, boot loaders
// and the system that is installed, and shows the file systems as the one tree
// that they are when the system runs, by the table of mounts in it. Nothing is
// mounted, and nothing of the disk is trusted.
package inspect
