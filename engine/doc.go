// Package engine says where builds run. Open gives an Engine from one of three
// providers, and whatever the provider, the Engine is used through the same
// BuildKit client:
//
//   - an address of a running BuildKit daemon (tcp://, unix://, ssh://,
//     docker-container://, kube-pod:// …), also taken from BUILDKIT_HOST;
//   - a buildx builder by its name, reached through "buildx dial-stdio", and
//     buildx's current one where there is no embedded engine;
//   - the embedded engine: BuildKit's controller and its runc worker in a process
//     that this one starts, connected by sockets, with all its state in
//     Store/buildkit.
//
// The embedded engine needs Linux, the distribution's runc, and root or
// rootlesskit: a command line calls EnsurePrivileges first, which starts the
// same command again under rootlesskit when it has to. Its process is this
// program once more, in the state in which a daemon is started: nothing that this
// process has inherited reaches a step. It ends with this process. One process at
// a time holds a store; a second one waits and says for whom. What a killed engine
// left behind (containers, mounts, partial downloads) is removed by the next Open.
//
// All wiring of BuildKit's daemon lies in this package and is pinned to one
// BuildKit release, because these interfaces change with every release.
package engine
