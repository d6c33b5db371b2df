// Package testca makes certificates for tests: an authority, a server on
// loopback that it vouches for, and clients that it knows and does not know.
//
// Tests of downloads that need a client's certificate use it, in the packages
// of the modules and end to end. Keys are of the curve P-256, so that making
// them takes no time, and last for a few hours. Nothing but tests may import the package:
// it would bring crypto/tls into the runners.
package testca
