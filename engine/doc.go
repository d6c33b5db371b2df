// Package engine says where builds run. Open gives an Engine from one of three
// providers, and whatever the provider, the Engine is used through the same
// BuildKit client:
//
//   - an address of a running BuildKit daemon (tcp://, unix://, ssh://,
//     docker-container://, kube-pod:// …), also taken from BUILDKIT_HOST;
//   - a buildx builder by its name, reached through "buildx dial-stdio";
//   - the embedded engine: BuildKit's controller and its runc worker inside this
//     process, connected through memory, with all its state in Store/buildkit.
//
// The embedded engine needs Linux, the distribution's runc, and root or
// rootlesskit: a command line calls EnsurePrivileges first, which starts the
// same command again under rootlesskit when it has to. One process at a time
// holds a store; a second one waits and says for whom. What a killed process
// left behind (containers, mounts) is removed by the next Open.
//
// All wiring of BuildKit's daemon lies in this package and is pinned to one
// BuildKit release, because these interfaces change with every release.
package engine
