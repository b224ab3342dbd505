// Package seal encrypts what goes into a store, with age (age-encryption.org/v1), so that who owns the store cannot read it.
//
//	X.db.zst  ──encrypt for the recipients──▶  X.db.zst.age     age -d -i KEYFILE X.db.zst.age | zstd -d
//
// An object is sealed for recipients, which are public keys; reading it needs one of their identities, which are secret. A
// [Store] that has only recipients can put, list, stat and delete, and cannot read what it has put.
//
// age encrypts in chunks of 64 KiB, each with its own proof and its place: any range can be read without the rest. The header
// says nothing about who can read an object, and nothing proves who made it: a person who knows a recipient can seal an
// object of his own for it.
//
// Native keys of age alone are taken, X25519 (age1…) and hybrid post-quantum ones (age1pq1…). Keys of SSH are not.
package seal
