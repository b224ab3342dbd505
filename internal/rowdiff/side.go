package rowdiff

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/internal/sqlite"
)

// Side is one of the two states that are compared: a connection that reads it, and goes on to see the same state.
type Side struct {
	Conn  *sqlite.Conn
	Bytes int64 // of the image
	// Explain returns why SQLite could not read, where that is known better; nil for nothing.
	Explain func(error) error
	// Keep has the connection read a page from memory, which it will read soon; false where there is no more room. nil for one
	// that reads pages as fast as it can be handed them.
	Keep func(n int64, page []byte) bool

	schema *Schema
	known  knownPages
	placed *placed // where the places of pages are followed from state to state
}

var (
	// ErrDamaged: one of the states is damaged.
	ErrDamaged = errors.New("the database is damaged")

	errOverlong = fmt.Errorf("%w: a table has more in it than all of it", ErrDamaged)
)

// maxValue is the largest value, in bytes, that is compared: two rows of such are in memory at a time.
const maxValue = 64 << 20

const smallImage = 1 << 20

// mostLarge bounds what one reading of a table hands out of large values. Values that rows have by default are
// stored once, and so may be somewhat more.
func (s *Side) mostLarge() int64 { return 16*s.Bytes + 256<<20 }

// mostRows bounds how many rows one reading of a table hands out: an entry takes more than 4 bytes.
func (s *Side) mostRows() int64 { return s.Bytes/4 + 1 }

// start reads the schema.
func (s *Side) start(ctx context.Context) error {
	s.Conn.LimitValues(min(max(s.Bytes, smallImage), maxValue))
	s.Conn.Limit(sqlite.Budget{Time: schemaTime, Memory: schemaMemory})
	var err error
	if s.schema, err = ReadSchema(ctx, s.Conn); err != nil {
		return s.explain(err)
	}
	return nil
}

// explain wraps an error of SQLite's with what it means.
func (s *Side) explain(err error) error {
	if err == nil || errors.Is(err, ErrNotRead) || errors.Is(err, ErrDamaged) {
		return err
	}
	if s.Explain != nil {
		err = s.Explain(err)
	}
	switch sqlite.Classify(err) {
	case sqlite.ClassCorrupt, sqlite.ClassNotADB:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case sqlite.ClassBudget:
		return fmt.Errorf("%w: %w", ErrTooMuch, err)
	case sqlite.ClassTooBig:
		return fmt.Errorf("%w: a row has more than %d MiB", ErrNotRead, maxValue>>20)
	}
	return err
}

// prepare compiles a statement. Collations that SQLite does not know do not matter where nothing is ordered by them.
func (s *Side) prepare(sql string) (*sqlite.Stmt, error) {
	const attempts = 100
	for try := 0; ; try++ {
		st, err := s.Conn.Prepare(sql)
		if err == nil || try == attempts {
			return st, err
		}
		if ok, stubErr := s.Conn.StubUnknown(err); !ok || stubErr != nil {
			return nil, errors.Join(err, stubErr)
		}
	}
}
