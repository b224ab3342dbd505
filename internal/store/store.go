// Package store has the places off this machine in which copies are kept.
//
// A [Store] holds objects under names. An object is written once and never changed: a name that is taken stays as it
// is, so that a second writer stops at its first object. The packages below implement it: dir for another disk or a
// mounted file system, s3 for object storage, sftp for a server reached by SSH, and seal, which encrypts around any of them.
// What all of them promise is tested by package storetest.
package store

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// What a store can answer, other than success. Implementations wrap these with the operation and the name; any other
// error means that it could not be found out, and says nothing about the object.
var (
	// ErrExists: the name is taken. What is stored there was not touched.
	ErrExists = errors.New("the store has an object of this name already")
	// ErrMissing: the store answered, and has no object of this name.
	ErrMissing = errors.New("the store has no object of this name")
	// ErrChanged: the object is not the one that was asked for: its version differs.
	ErrChanged = errors.New("the object in the store is another one than before")
	// ErrDenied: the store refuses these credentials, or what they may do. Trying again does not help.
	ErrDenied = errors.New("the store refuses access")
	// ErrThrottled: the store asks for fewer requests, or is out of order for now. Trying later may help.
	ErrThrottled = errors.New("the store is busy")
	// ErrGone: the place itself is not there, such as a mount point whose disk is not mounted, or a bucket.
	ErrGone = errors.New("the place is not there")
	// ErrFull: the store has no room for the object.
	ErrFull = errors.New("the store has no room")
)

// MaxName is the most bytes that a name may have, MaxElement those between two slashes.
const (
	MaxName    = 512
	MaxElement = 200
)

// An Object is what a store says about one of its objects.
type Object struct {
	Name     string    // as given to Put
	Size     int64     // bytes
	Modified time.Time // by the store's clock; for people only
	// Version distinguishes this object from another one stored under the same name, such as an ETag; "" where the store cannot.
	Version string
	// Checksum is the digest of the whole object that the store itself computed or compared on writing,
	// as "crc64nvme:" or "sha256:" and lower-case hexadecimal digits; "" where the store has none.
	Checksum string
}

// Abilities is what a store was found to do by itself.
type Abilities struct {
	// Exclusive: of two writers of one name at the same instant, one gets [ErrExists]. Without it a taken name is found by
	// looking first, which a second writer at that very instant can slip past.
	Exclusive bool `json:"exclusive"`
	// Checksum is the kind that Objects have, "crc64nvme" or "sha256"; "" for none.
	Checksum string `json:"checksum"`
	// Reason says, for people, why an ability is missing or not known yet; "" when nothing is.
	Reason string `json:"reason,omitempty"`
}

// A Store is safe for concurrent use. Contexts bound every call; an implementation retries by itself what its own protocol
// calls transient, and returns when ctx ends or its patience does. No error or String shows a secret.
type Store interface {
	// Put stores the size bytes of src under name, whole or not at all, and durably. A taken name is [ErrExists]. src may be
	// read more than once and concurrently. The object's Checksum equals the digest of the bytes that were read from src,
	// where the store has one; a store whose checksum differs has not stored the object, and that is an error.
	Put(ctx context.Context, name string, src io.ReaderAt, size int64) (Object, error)
	// Get reads n bytes of the object from offset off; n < 0 reads to its end. A version that is not "" must be the object's,
	// else [ErrChanged]. The caller closes the reader; fewer bytes than asked for are io.ErrUnexpectedEOF from Read.
	Get(ctx context.Context, name, version string, off, n int64) (io.ReadCloser, error)
	// Stat returns what the store knows about name without reading it.
	Stat(ctx context.Context, name string) (Object, error)
	// List returns the objects whose names begin with prefix and come after the name after, in byte order of their names. Version and
	// Checksum may be missing. What Put or Delete do meanwhile may show or not. The iteration ends with the first error.
	List(ctx context.Context, prefix, after string) iter.Seq2[Object, error]
	// Delete removes the object. A name that the store does not have is [ErrMissing].
	Delete(ctx context.Context, name string) error
	// Abilities returns what is known by now, without asking the store: Put finds it out.
	Abilities() Abilities
	// String is the place as a person would name it: a URL without credentials.
	String() string
}
