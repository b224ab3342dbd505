// Package points knows the states of a database that can be restored: its backups, and the captures of
// its change logs, each timeline's in a directory of its own.
//
//	BACKUPDIR/changes/1/   base: the backup that the log's head names, it has capture 0
//	  capture 1 … capture 40 = backup with Point "1.40" … capture 57
//	                                  \_ a nearer base for 41 to 57
//
// A capture is a recovery point where a usable backup is a base for it, and nothing is missing between the
// two. It is offered then, and proven when it is opened: the sum of its page digests by the base's and
// the log's, every page by its digest as it is read.
package points
