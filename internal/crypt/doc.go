// Package crypt tells what a text in the place of a password is: the hash of
// one, in a form that crypt(5) describes, a lock, or the password itself.
package crypt
