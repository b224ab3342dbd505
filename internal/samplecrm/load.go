package samplecrm

import (
	"context"
	"database/sql"
	"fmt"
)

// Rows come in rounds of one company with all that belongs to it. One transaction
// takes rounds until it holds about txBytes.
const txBytes = 32 << 20

// nearTarget is how close, in bytes, the target has to be for rounds to become small.
const nearTarget = 1 << 20

// loader fills a fresh database round by round.
type loader struct {
	*prose
	target   int64 // bytes
	pageSize int64 // bytes
	ids      struct{ company, contact, deal, activity, note int64 }
	ledger   bool // accounts are there
	tx       *sql.Tx
	stmts    map[string]*sql.Stmt // of tx, by their SQL
}

// exec executes a statement of the transaction, prepared once.
func (l *loader) exec(ctx context.Context, what, query string, args ...any) (err error) {
	stmt := l.stmts[query]
	if stmt == nil {
		if stmt, err = l.tx.PrepareContext(ctx, query); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		l.stmts[query] = stmt
	}
	if _, err := stmt.ExecContext(ctx, args...); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// transaction adds rounds up to txBytes or the target; done says it was reached.
func (l *loader) transaction(ctx context.Context, db *sql.DB) (done bool, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback() // only after an error; Create then removes the file
	// A context that can end costs the driver a goroutine for every row, so rows
	// get one that cannot, and ctx is looked at between rounds.
	rows := context.WithoutCancel(ctx)
	l.tx, l.stmts = tx, map[string]*sql.Stmt{}
	pages, err := tx.PrepareContext(rows, "PRAGMA page_count")
	if err != nil {
		return false, fmt.Errorf("page count: %w", err)
	}
	var begin, size int64
	indexed := l.ids.note
	for !done && size-begin < txBytes {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if err := l.round(rows, l.target-size); err != nil {
			return false, err
		}
		if err := pages.QueryRowContext(rows).Scan(&size); err != nil {
			return false, fmt.Errorf("page count: %w", err)
		}
		size *= l.pageSize
		if begin == 0 {
			begin = size
		}
		done = size >= l.target
		if done || size-begin >= txBytes || l.ids.note-indexed >= 500 || l.target-size < nearTarget {
			if err := l.exec(rows, "index notes", indexNotes, indexed); err != nil {
				return false, err
			}
			indexed = l.ids.note
		}
	}
	if err := tx.Commit(); err != nil {
		return false, fmt.Errorf("commit: %w", err)
	}
	return done, nil
}

// round adds one company with its people, deals, correspondence, files and money.
// room is how many bytes are left to the target; near it only small rows are added.
func (l *loader) round(ctx context.Context, room int64) error {
	if !l.ledger {
		for id := 1; id <= Accounts; id++ {
			if err := l.exec(ctx, "account", "INSERT INTO accounts VALUES(?,?,?,?)", id, "Konto "+l.title(2), OpeningBalance, l.mail(1400)); err != nil {
				return err
			}
		}
		l.ledger = true
	}
	l.ids.company++
	id := l.ids.company
	name := l.pick(companyNames) + " " + l.pick(industries) + " " + l.pick(companyForms)
	if err := l.exec(ctx, "company", "INSERT INTO companies VALUES(?,?,?,?,?,?,?)", id, name, fmt.Sprintf("company-%d.example", id), l.pick(industries),
		l.pick(cities), 1+l.below(5000), l.stamp()); err != nil {
		return err
	}
	people := 2 + l.below(6)
	if room < nearTarget {
		people = 1
	}
	for range people {
		if err := l.person(ctx, room); err != nil {
			return err
		}
	}
	return l.transfer(ctx, l.exec)
}

// person adds a contact of the newest company with a deal, mails, notes and files.
func (l *loader) person(ctx context.Context, room int64) error {
	l.ids.contact++
	contact := l.ids.contact
	first, last := firstNames[l.below(len(firstNames))], lastNames[l.below(len(lastNames))]
	email := fmt.Sprintf("%s.%s@company-%d-%d.example", first.address, last.address, l.ids.company, contact)
	if err := l.exec(ctx, "contact", "INSERT INTO contacts VALUES(?,?,?,?,?,?,?,?)", contact, l.ids.company, first.written, last.written, email, l.phone(),
		l.pick(jobTitles), l.stamp()); err != nil {
		return err
	}
	l.ids.deal++
	if err := l.exec(ctx, "deal", "INSERT INTO deals VALUES(?,?,?,?,?,?,?,?)", l.ids.deal, l.ids.company, contact, l.title(4), l.pick(stages),
		l.below(10_000_000), "EUR", l.stamp()); err != nil {
		return err
	}
	notes, mails, longest := 2+l.below(12), 12+l.below(24), 64<<10
	if room < nearTarget {
		notes, mails, longest = 1, 1, 2<<10
	}
	for range notes {
		l.ids.note++
		if err := l.exec(ctx, "note", "INSERT INTO notes VALUES(?,?,?,?,?)", l.ids.note, contact, l.pick(authors), l.note(), l.stamp()); err != nil {
			return err
		}
	}
	for range mails {
		if err := l.correspond(ctx, contact, longest); err != nil {
			return err
		}
	}
	return nil
}

// correspond adds a mail, call or meeting, one in three with an earlier
// contact; few have a file.
func (l *loader) correspond(ctx context.Context, contact int64, longest int) error {
	if l.below(3) == 0 {
		contact = 1 + int64(l.below(int(l.ids.contact)))
	}
	l.ids.activity++
	subject := l.title(3 + l.below(5))
	if err := l.exec(ctx, "activity", "INSERT INTO activities VALUES(?,?,?,?,?,?)", l.ids.activity, contact, l.pick(kinds), subject,
		l.mail(200+l.below(1800)), l.stamp()); err != nil {
		return err
	}
	if l.ids.activity > 1 && l.below(36) > 0 {
		return nil
	}
	fileName, mediaType, content := l.attachment(500 + l.below(longest))
	if err := l.exec(ctx, "attachment", "INSERT INTO attachments(activity_id, file_name, media_type, content) VALUES(?,?,?,?)", l.ids.activity, fileName, mediaType, content); err != nil {
		return err
	}
	return nil
}

// transfer moves money between two different accounts.
func (p *prose) transfer(ctx context.Context, exec func(ctx context.Context, what, query string, args ...any) error) error {
	from := 1 + p.below(Accounts)
	to := 1 + (from+p.below(Accounts-1))%Accounts
	amount := 1 + p.below(5000) // cents
	if err := exec(ctx, "withdraw", "UPDATE accounts SET balance = balance - ? WHERE id = ?", amount, from); err != nil {
		return err
	}
	if err := exec(ctx, "deposit", "UPDATE accounts SET balance = balance + ? WHERE id = ?", amount, to); err != nil {
		return err
	}
	return exec(ctx, "record transfer", "INSERT INTO transfers(from_account, to_account, amount, memo, made_at) VALUES(?,?,?,?,?)",
		from, to, amount, p.title(2), p.stamp())
}
