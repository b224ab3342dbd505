package integrity

import "fmt"

// Level says how deep a check looks and so what it costs; each level includes
// the ones below it. The zero value is LevelQuick.
type Level int

const (
	// LevelHeader reads page 1, compares the file's size with its header and walks the
	// checksums of the -wal. Cost: the size of the -wal; where that is damaged, also its
	// pages in the database file.
	LevelHeader Level = iota - 2
	// LevelProbe also opens the database with SQLite and reads its whole schema.
	LevelProbe
	// LevelQuick also runs PRAGMA quick_check: every page, every row, the number
	// of entries in every index.
	LevelQuick
	// LevelFull also runs PRAGMA integrity_check (index contents against rows)
	// and PRAGMA foreign_key_check.
	LevelFull
)

// ParseLevel reads the name of a level: header, probe, quick or full.
func ParseLevel(s string) (Level, error) {
	for l := LevelHeader; l <= LevelFull; l++ {
		if l.String() == s {
			return l, nil
		}
	}
	return 0, fmt.Errorf("unknown check level %q: use header, probe, quick or full", s)
}

func (l Level) String() string {
	switch l {
	case LevelHeader:
		return "header"
	case LevelProbe:
		return "probe"
	case LevelQuick:
		return "quick"
	case LevelFull:
		return "full"
	}
	return fmt.Sprintf("Level(%d)", int(l))
}

// MarshalText gives the level's name.
func (l Level) MarshalText() ([]byte, error) {
	if l < LevelHeader || l > LevelFull {
		return nil, fmt.Errorf("no such check level: %d", int(l))
	}
	return []byte(l.String()), nil
}

// UnmarshalText is ParseLevel.
func (l *Level) UnmarshalText(text []byte) error {
	v, err := ParseLevel(string(text))
	if err == nil {
		*l = v
	}
	return err
}

// Verdict is what a check concluded.
type Verdict string

const (
	// Healthy: nothing wrong was found at the level asked for. Findings
	// only information may be present.
	Healthy Verdict = "healthy"
	// Violations: the structure is sound, but rows break rules that the schema
	// states (CHECK, NOT NULL, STRICT types, foreign keys).
	Violations Verdict = "violations"
	// Corrupt: proof of damage.
	Corrupt Verdict = "corrupt"
	// NotADatabase: the file's header is not SQLite's.
	NotADatabase Verdict = "not_a_database"
	// Empty: zero bytes. SQLite treats it as a new database.
	Empty Verdict = "empty"
	// Missing: there is no such file.
	Missing Verdict = "missing"
)
