package engine

import "github.com/moby/sys/userns"

// SharesProcesses reports whether the steps of an embedded engine that this
// process starts see the processes of the engine: without root, inside of a
// container whose manager has covered parts of /proc, the kernel lets no inner
// namespace mount a fresh one.
func SharesProcesses() bool { return userns.RunningInUserNS() && procIsMasked() }
