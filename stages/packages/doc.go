// Package packages holds the modules that install packages.
//
// org.osbuildkit.debootstrap makes a Debian system out of an empty tree, and
// org.osbuildkit.apt adds packages to one. Neither runs as one program: the
// graph makes each of them out of parts, so that no part needs a network.
// "solve" reads the indexes of the repositories and writes the list of the
// packages (debian.PackageList) as packages.json into its output directory;
// the builder downloads what the list names, by checksum; "unpack" and
// "configure", or "apply", work on the tree. "normalise" then removes what
// differs between two builds or must not be shared between machines, and
// "prepare" makes a tree ready to be the root of a step.
//
// org.osbuild.dnf and org.osbuild.yum install RPM packages in the same way, with
// the dnf of the build root: "solve" runs it to decide, and "apply" runs it, by
// way of its own dynamic loader, inside the tree. org.osbuild.rpm installs
// files with the build root's rpm.
//
// Parts take the options of their stage; the methods For… of the options
// leave only what the part depends on, so that nothing else is in its key.
package packages
