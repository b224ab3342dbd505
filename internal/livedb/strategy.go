package livedb

// Strategy is a way to read a live database.
type Strategy int

const (
	// InPlaceReadOnly opens the file with mode=ro: SQLite can neither roll a hot journal
	// back nor checkpoint. In WAL mode it creates a -wal and a -shm that are missing.
	InPlaceReadOnly Strategy = iota
	// InPlace opens the file for writing and reads only: on no other connection does
	// SQLite evaluate CHECK constraints. It rolls a hot journal back, unless a reader
	// of ours holds its lock meanwhile.
	InPlace
	// Immutable takes no lock, and looks for no log: the main file has to be all there
	// is, and it has to be proven afterwards that no other process opened it.
	Immutable
	// PrivateCopy reads a copy, under proof that nothing was written during the copy. SQLite
	// recovers the copy as it would the original.
	PrivateCopy
)

func (s Strategy) String() string {
	return [...]string{"in place, read-only", "in place", "immutable", "private copy"}[s]
}

// Choice is a strategy and why it was chosen.
type Choice struct {
	Strategy Strategy
	Reason   string
}

// String is the strategy with its reason.
func (c Choice) String() string { return c.Strategy.String() + ": " + c.Reason }

// Needs are what a reader needs as well as the pages. The zero value is a snapshot's: what
// SQLite creates next to the database is removed again (see Tx.Close).
type Needs struct {
	// Untouched: nothing is created or written next to the database, not for a moment
	// either. A check's.
	Untouched bool
	// Constraints: CHECK constraints are evaluated. The caller holds a transaction that
	// is in place, where there can be one.
	Constraints bool
	// MaxCopy is the largest database in bytes, with its log, that is copied for that alone.
	// Where nothing else is possible a database of any size is copied.
	MaxCopy int64
}

// Strategies are the ways to read the database as f saw it, the first one first: each is
// good where SQLite refuses those before it (see Refused).
//
//	files                       | snapshot          | check              | check with CHECK constraints
//	----------------------------+-------------------+--------------------+-----------------------------
//	no log, or a journal in use | read-only, copy   | read-only, copy    | in place, copy* | read-only
//	log in use                  | read-only, copy   | read-only, copy    | in place, read-only, copy
//	log, its -shm not in use    | read-only, copy   | copy* | as in use  | copy* | as in use
//	log without -shm            | read-only, copy ¹ | copy               | copy
//	WAL mode without a log      | read-only, copy ¹ | immutable          | copy* | immutable
//
//	*  of a database up to the size that Needs says; after the bar what a larger one gets
//	¹  copy at once by a user who may not write to the file: what SQLite created there would
//	   be that user's, and the application might not be able to use it
//
// A snapshot never keeps writers waiting in WAL mode; in the rollback-journal modes it does. A check does not rebuild the index of an owner that died: the index is evidence of
// how far the log went.
func (f Files) Strategies(n Needs) []Choice {
	s := situation{
		journal: f.HotJournal(), log: f.UsesLog(), frames: f.WAL.Size > 0, index: f.Index,
		complete: f.WAL.Present && f.Index, bytes: f.Main.Size + f.WAL.Size,
	}
	if n.Untouched {
		s.idle = f.Index && IndexIdle(f.path)
	} else {
		s.writable = writable(f.path)
	}
	return s.strategies(n)
}

// situation is what the choice goes by.
type situation struct {
	journal  bool  // may belong to a transaction
	log      bool  // SQLite would open one
	frames   bool  // the -wal is not empty
	index    bool  // there is a -shm
	complete bool  // there are both
	idle     bool  // the -shm is not in use
	writable bool  // by us
	bytes    int64 // of the main file and its log
}

func (s situation) strategies(n Needs) []Choice {
	const (
		locked  = "SQLite's locks pin the state"
		refused = "SQLite cannot read it in place"
		rules   = "CHECK constraints are evaluated on a connection only that may write"
	)
	small := s.bytes <= n.MaxCopy
	switch {
	case !n.Untouched && s.log && !s.complete && !s.writable:
		return []Choice{{PrivateCopy, "SQLite would create files next to it that its owner might not be able to use"}}
	case !n.Untouched:
		return []Choice{{InPlaceReadOnly, locked}, {PrivateCopy, refused}}
	case (s.journal || !s.log) && !n.Constraints:
		return []Choice{{InPlaceReadOnly, locked}, {PrivateCopy, refused}}
	case (s.journal || !s.log) && small:
		return []Choice{{InPlace, rules}, {PrivateCopy, rules + ", and the file may not be written"}}
	case s.journal || !s.log:
		return []Choice{{InPlace, rules}, {InPlaceReadOnly, "the database is large, and its file may not be written; a full check evaluates them on a copy"}}
	case s.index && s.idle && small:
		return []Choice{{PrivateCopy, "its last user died, and SQLite would rebuild the index of the log"}}
	case s.index && n.Constraints:
		return []Choice{{InPlace, rules}, {InPlaceReadOnly, "the database is in use, and its file may not be written"}, {PrivateCopy, refused}}
	case s.index:
		return []Choice{{InPlaceReadOnly, locked}, {PrivateCopy, refused}}
	case s.frames:
		return []Choice{{PrivateCopy, "SQLite would build the index of the log next to it"}}
	case n.Constraints && small:
		return []Choice{{PrivateCopy, rules + ", and SQLite would create a log"}}
	case n.Constraints:
		return []Choice{{Immutable, "the database is large and not in use; a full check evaluates them on a copy"}}
	}
	return []Choice{{Immutable, "no process has it open, and there is only the main file"}}
}
