// Package luks encrypts a part of a disk in the form that the installed system
// opens with cryptsetup: LUKS2 (the on-disk format specification 1.1.2 of the
// cryptsetup project), AES-XTS with 512 bits of key, one passphrase. No device
// mapper and no program is needed.
//
// Format writes the header, with a volume key that is random or derived from
// the passphrase, and Encrypt turns what lies behind it, such as a file system
// that was just made there, into its encrypted form in place. Open reads it all
// back. Free space may be left out of the encryption; package used says what is
// free.
package luks
