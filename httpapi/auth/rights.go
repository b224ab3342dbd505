package auth

import (
	"errors"
	"slices"
)

// Right is what a principal may do.
type Right string

// The rights. Each route of the API requires one of them.
const (
	View      Right = "view"      // see everything but the data itself
	Create    Right = "create"    // make backups
	Verify    Right = "verify"    // verify, drill, check
	Restore   Right = "restore"   // replace the database by a backup
	Delete    Right = "delete"    // delete backups
	Download  Right = "download"  // fetch archives, where the server allows downloads
	Configure Right = "configure" // change notes and pins
	Read      Right = "read"      // see rows of the data
	Query     Right = "query"     // ask with SQL, where the server allows queries
)

// AllRights returns the rights of the token's holder.
func AllRights() []Right {
	return []Right{View, Create, Verify, Restore, Delete, Download, Configure, Read, Query}
}

// Principal is who makes a request.
type Principal struct {
	Name   string  // for the activity log, e.g. "alice"
	Rights []Right // what it may do
}

// May reports whether p has the right.
func (p Principal) May(right Right) bool { return slices.Contains(p.Rights, right) }

// ErrUnauthorized is the error of a request without a good token, a live session or, with the
// host's authorisation, a known user.
var ErrUnauthorized = errors.New("not signed in")
