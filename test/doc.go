// Package test holds the end-to-end tests: the real command line, the real
// embedded engine, real runc and real packages.
//
// They carry the build tag e2e, need root, and run with
//
//	OSBUILDKIT=$PWD/bin/osbuildkit go test -count=1 -tags e2e ./test/...
//
// All tests share one store, so that a tree is built once: the directory that
// OSBUILDKIT_TEST_STORE names, else a new one below the temporary directory,
// which is removed at the end unless OSBUILDKIT_TEST_KEEP is set. Packages come
// through a Mirror of the test's own on loopback, in front of the mirror that
// OSBUILDKIT_TEST_MIRROR names, else those of this machine's apt, else Debian's
// general mirror. The mirror keeps what it has fetched, counts requests, and
// can be told to fail.
//
// The tests of RPM packages (TestRPM…, make test-rpm) install a distribution that
// is made for them: see package rpmdistro. An RPMServer has it on loopback, with
// several mirrors that can be told to fail. To try a manifest by hand,
// "go run ./test/rpmdistro/serve DIRECTORY" serves what a test has left in
// rpm-distribution of its store.
package test
