// Package catalog describes the backups of one directory, as catalog.json stores
// them, and decides which of them may go. It holds types and pure functions only:
// it reads no file and no clock.
//
// Backups are ordered by Entry.Seq, never by a clock. A number is given once:
// numbering goes on after deletions and rebuilds, from the highest one seen.
package catalog
