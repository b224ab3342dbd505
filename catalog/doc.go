// Package catalog keeps the index of the backups in one directory, and decides
// which of them may go.
//
// The index is catalog.json. It is replaced atomically, written only under a
// cross-process lock held for milliseconds, and can be made anew from the
// archives at any time: what it alone knows are pins, notes and verification
// outcomes. A damaged one is kept aside and rebuilt; one of a newer version is
// an error and stays as it is. Nothing is ever looked up by a path: ids resolve
// through the catalog only.
//
// Backups are ordered by Entry.Seq, never by a clock. Numbers are given once;
// they go on after deletions and rebuilds from the highest one seen.
package catalog
