// Package pgp reads OpenPGP public keys and checks signatures with them, for
// the archives and packages of all distributions.
//
// ReadKeys reads a text that holds any number of keys; Keys.Find picks one by
// its fingerprint; Keys.Verify checks signatures that stand apart from what
// they sign. Nothing here fetches a key: a key that was not given is unknown.
//
// Whether a key was valid is judged at the time of the signature, so that an
// old state of an archive can be built for ever; callers decide by
// Signer.KeyExpires whether a key may have expired since. What SHA-1, MD5 or a
// key that is too short signed is refused.
package pgp
