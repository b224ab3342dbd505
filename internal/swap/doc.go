// Package swap replaces a database file with a staged one, so that the
// database ends as the old one or as the new one, also where the process or the
// machine dies at any instant. It keeps what it replaces, where that is damaged, as a
// quarantine. It knows files and SQLite's locks, and nothing of backups.
//
// # A swap
//
// [Target.Run] takes a staged file in the database's directory through these
// states. The intent file exists from "intent written" until "closed". Every step in
// between may be done again, and is durable before the next one begins.
//
//	staged: synced, hashed
//	   |   lock the others out; call Swap.Unchanged
//	   |   give the staged file owner, mode, access list and attributes
//	   |   of the database, by its descriptor
//	   |   Swap.Committing: from here on cancelling has no effect
//	   v
//	intent written  ----------+
//	   |   preserve: report,  |
//	   |   file, -wal,        |
//	   |   -journal           |
//	   v                      |
//	preserved  ---------------+--- died: Finish decides
//	   |   remove -journal,   |
//	   |   -wal, -shm         |
//	   v                      |
//	no sidecars  -------------+
//	   |   prove that the staged name is still the proven file,
//	   |   rename it over the database
//	   v
//	renamed  -----------------+
//	   |   retire the old     |
//	   |   inode, wait for    |
//	   |   stragglers, close  |--- died: Finish closes
//	   |   the quarantine to  |
//	   |   others             |
//	   v                      |
//	committed  ---------------+
//	   |   Observer.Committed; remove the intent file
//	   v
//	closed
//
// # In place
//
// Nothing can be renamed over a file that is a mount point of its own, as a single file that
// was given to a container is. And where this process may not give a new file the owner
// or the access list of the old one, a rename would lock the application out, or let
// others in. Then the database's own file is written to, under the same lock. A
// rollback journal of all that it holds, as SQLite would write one, stands for the rename:
//
//	no sidecars
//	   |   rename the staged journal to NAME-journal
//	   v
//	journal placed  --------+
//	   |   write, truncate, |--- died: an application that opens the database has
//	   |   sync             |    SQLite roll it back; Finish writes again, or rolls back
//	   v                    |
//	written in place  ------+
//	   |   rename the journal to a name that the intent has
//	   v
//	journal retired: committed; close, then remove the journal and the staged file
//
// SQLite deletes a journal that it has rolled back: so the journal's last name proves
// that the writing was committed, also after later writes to the database.
//
// # After a crash
//
// [Target.Finish] looks at what a dead process left and has four ways:
//
//	the staged file is whole, the database untouched    Completed   carry out the rest
//	the database is the staged file, by its identity    Committed   close
//	neither, and the database is untouched              Undone      put back what was moved
//	neither, and the database was written to since      Abandoned   keep the database and the
//	                                                                quarantine, as two files
//
// "Untouched" compares identity, size and modification time of the file, its -wal
// and its -journal with the intent. The -shm is an index that SQLite may rewrite.
//
// # The intent file
//
// It is JSON of at most 1 MiB, mode 0600, next to the database as
// ".NAME.snapd-restore", and written by temporary file, fsync, rename and fsync of
// the directory:
//
//	version     1
//	target      base name of the database         staged    base name of the staged file
//	bytes       size of the staged image          blake3    its hash
//	staged_id   identity of the staged file: the database's own once it was renamed
//	replaced    identity, size and mtime of the file that is replaced, null for none
//	sidecars    the same for its sidecars: no others are removed
//	in_place    why the file is written in place, its journal's state and last name
//	quarantine  absolute path that preserves the file, "" where a backup has it
//	report      the quarantine's, so that a swap finished later leaves it whole
//	backup, operation, safety                     the caller's [Note]
//
// The database's directory may belong to a user with fewer rights. An intent that
// another user owns, or that names files which no swap would, is not followed.
//
// # Open handles
//
// SQLite's exclusive lock keeps all others from reading and writing, but an idle
// connection of a rollback-journal mode holds no lock: the system is asked who has
// the file open. One that opens it between that question and the rename is a
// straggler. Its descriptor is of the old inode, and SQLite would give it a -wal with
// the new database's name. So the old inode is made unusable once it has no name
// left; where it lives on as the quarantine, Run waits until the straggler closes it.
package swap
