// Package pgp reads OpenPGP public keys and checks signatures with them, for
// the archives and packages of all distributions.
//
// ReadKeys reads a text that holds any number of keys, in whatever form gpg and
// rpm read it; Keys.Armor writes them in one form that every program reads.
// Keys.Find picks one by its fingerprint; Keys.Verify checks signatures that
// stand apart from what they sign. Nothing here fetches a key: a key that was
// not given is unknown.
//
// What counts is the newest signature of a key on itself, or on the subkey that
// signed: a key whose time was extended after it signed is good, and so is one
// that certifies itself with SHA-1, as those of many distributions do. A key
// that is revoked without a reason, or because somebody else may have it, is
// never good. What SHA-1 or MD5 signed is refused, and so are keys that are too
// short to prove something or too long to be looked at.
//
// Whether a key was valid is judged at the time of the signature, so that an
// old state of an archive can be built for ever; callers ask Signer.CheckNow
// about what is not named by its checksum.
package pgp
