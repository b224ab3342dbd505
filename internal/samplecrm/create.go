package samplecrm

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"example.com/snapd/internal/sqlite"
)

// Options say what Create makes. The zero value is a small database in WAL mode.
type Options struct {
	// Bytes is the size to reach, in bytes. The file ends at it or up to
	// 1 % and 128 KiB above, and never below what the schema and a few rows take: some 220 KB, more with large pages.
	Bytes int64
	// Seed picks the content: equal options give equal files, byte for byte.
	Seed uint64
	// PageSize is SQLite's page size, a power of two from 512 to 65536; 0 means 4096.
	PageSize int
	// JournalMode is wal (the default) or one of SQLite's rollback modes. Those
	// are a property of connections, not of the file: Create then only leaves
	// the file in rollback mode, and Open takes the mode to use.
	JournalMode string
}

var journalModes = []string{"wal", "delete", "truncate", "persist", "memory", "off"}

func (o *Options) complete() error {
	if o.PageSize == 0 {
		o.PageSize = 4096
	}
	if o.JournalMode == "" {
		o.JournalMode = "wal"
	}
	if o.PageSize < 512 || o.PageSize > 65536 || o.PageSize&(o.PageSize-1) != 0 {
		return fmt.Errorf("page size %d: must be a power of two from 512 to 65536", o.PageSize)
	}
	if !slices.Contains(journalModes, strings.ToLower(o.JournalMode)) {
		return fmt.Errorf("journal mode %q: must be one of %s", o.JournalMode, strings.Join(journalModes, ", "))
	}
	return nil
}

// Create makes a sample CRM database at path, which must not exist (fs.ErrExist).
// Memory stays below 100 MB for any size. Nothing is synced to disk, and
// after an error or the end of ctx nothing is left.
func Create(ctx context.Context, path string, o Options) error {
	if err := o.complete(); err != nil {
		return fmt.Errorf("create sample database: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create sample database: %w", err)
	}
	err = f.Close()
	if err == nil {
		err = build(ctx, path, o)
	}
	if err != nil {
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			if e := os.Remove(path + suffix); e != nil && !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
		return fmt.Errorf("create sample database %s: %w", path, err)
	}
	return nil
}

func build(ctx context.Context, path string, o Options) (err error) {
	db, err := open(path, "journal_mode(off)", "synchronous(off)", "locking_mode(exclusive)", "cache_size(-32768)",
		"page_size("+strconv.Itoa(o.PageSize)+")")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	l := &loader{prose: newProse(o.Seed), target: o.Bytes, pageSize: int64(o.PageSize)}
	for done := false; !done; {
		if done, err = l.transaction(ctx, db); err != nil {
			return err
		}
	}
	if _, err := db.ExecContext(ctx, searchTriggers); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	if strings.EqualFold(o.JournalMode, "wal") {
		if _, err := db.ExecContext(ctx, "PRAGMA locking_mode=normal; PRAGMA journal_mode=wal"); err != nil {
			return fmt.Errorf("journal mode: %w", err)
		}
	}
	return nil
}

// Open opens a pool on the sample database at path as an application would:
// foreign keys enforced, locks waited for up to 10 s, transactions that begin by
// taking the write lock. journalMode is set on every connection; "" keeps the file's.
func Open(path, journalMode string) (*sql.DB, error) {
	pragmas := []string{"busy_timeout(10000)", "foreign_keys(1)"}
	if journalMode != "" {
		if !slices.Contains(journalModes, strings.ToLower(journalMode)) {
			return nil, fmt.Errorf("open %s: journal mode %q: must be one of %s", path, journalMode, strings.Join(journalModes, ", "))
		}
		pragmas = append(pragmas, "journal_mode("+journalMode+")")
	}
	return open(path, pragmas...)
}

func open(path string, pragmas ...string) (*sql.DB, error) {
	uri, err := sqlite.URI(path, url.Values{"mode": {"rw"}, "_txlock": {"immediate"}, "_pragma": pragmas})
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", uri)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// Sum adds up the balances of all accounts, in cents: ExpectedSum in every
// committed state.
func Sum(ctx context.Context, db *sql.DB) (int64, error) {
	var sum int64
	if err := db.QueryRowContext(ctx, "SELECT sum(balance) FROM accounts").Scan(&sum); err != nil {
		return 0, fmt.Errorf("sum of balances: %w", err)
	}
	return sum, nil
}
