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
}

// inserts are a transaction's prepared statements.
type inserts struct {
	company, contact, deal, activity, attachment, note, account, transfer, withdraw, deposit, search *sql.Stmt
	pages                                                                                            *sql.Stmt
}

func prepare(ctx context.Context, tx *sql.Tx) (*inserts, error) {
	in := &inserts{}
	for _, s := range []struct {
		stmt **sql.Stmt
		sql  string
	}{
		{&in.company, "INSERT INTO companies VALUES(?,?,?,?,?,?,?)"},
		{&in.contact, "INSERT INTO contacts VALUES(?,?,?,?,?,?,?,?)"},
		{&in.deal, "INSERT INTO deals VALUES(?,?,?,?,?,?,?,?)"},
		{&in.activity, "INSERT INTO activities VALUES(?,?,?,?,?,?)"},
		{&in.attachment, "INSERT INTO attachments(activity_id, file_name, media_type, content) VALUES(?,?,?,?)"},
		{&in.note, "INSERT INTO notes VALUES(?,?,?,?,?)"},
		{&in.account, "INSERT INTO accounts VALUES(?,?,?,?)"},
		{&in.transfer, "INSERT INTO transfers(from_account, to_account, amount, memo, made_at) VALUES(?,?,?,?,?)"},
		{&in.withdraw, "UPDATE accounts SET balance = balance - ? WHERE id = ?"},
		{&in.deposit, "UPDATE accounts SET balance = balance + ? WHERE id = ?"},
		{&in.search, indexNotes},
		{&in.pages, "PRAGMA page_count"},
	} {
		stmt, err := tx.PrepareContext(ctx, s.sql)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.sql, err)
		}
		*s.stmt = stmt
	}
	return in, nil
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
	in, err := prepare(rows, tx)
	if err != nil {
		return false, err
	}
	var begin, size int64
	indexed := l.ids.note
	for !done && size-begin < txBytes {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if err := l.round(rows, in, l.target-size); err != nil {
			return false, err
		}
		if err := in.pages.QueryRowContext(rows).Scan(&size); err != nil {
			return false, fmt.Errorf("page count: %w", err)
		}
		size *= l.pageSize
		if begin == 0 {
			begin = size
		}
		done = size >= l.target
		if done || size-begin >= txBytes || l.ids.note-indexed >= 500 || l.target-size < nearTarget {
			if _, err := in.search.ExecContext(rows, indexed); err != nil {
				return false, fmt.Errorf("index notes: %w", err)
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
func (l *loader) round(ctx context.Context, in *inserts, room int64) error {
	if !l.ledger {
		for id := 1; id <= Accounts; id++ {
			if _, err := in.account.ExecContext(ctx, id, "Konto "+l.title(2), OpeningBalance, l.mail(1400)); err != nil {
				return fmt.Errorf("account: %w", err)
			}
		}
		l.ledger = true
	}
	l.ids.company++
	id := l.ids.company
	name := l.pick(companyNames) + " " + l.pick(industries) + " " + l.pick(companyForms)
	if _, err := in.company.ExecContext(ctx, id, name, fmt.Sprintf("company-%d.example", id), l.pick(industries),
		l.pick(cities), 1+l.below(5000), l.stamp()); err != nil {
		return fmt.Errorf("company: %w", err)
	}
	people := 2 + l.below(6)
	if room < nearTarget {
		people = 1
	}
	for range people {
		if err := l.person(ctx, in, room); err != nil {
			return err
		}
	}
	return l.transfer(ctx, in)
}

// person adds a contact of the newest company with a deal, mails, notes and files.
func (l *loader) person(ctx context.Context, in *inserts, room int64) error {
	l.ids.contact++
	contact := l.ids.contact
	first, last := firstNames[l.below(len(firstNames))], lastNames[l.below(len(lastNames))]
	email := fmt.Sprintf("%s.%s@company-%d-%d.example", first.address, last.address, l.ids.company, contact)
	if _, err := in.contact.ExecContext(ctx, contact, l.ids.company, first.written, last.written, email, l.phone(),
		l.pick(jobTitles), l.stamp()); err != nil {
		return fmt.Errorf("contact: %w", err)
	}
	l.ids.deal++
	if _, err := in.deal.ExecContext(ctx, l.ids.deal, l.ids.company, contact, l.title(4), l.pick(stages),
		l.below(10_000_000), "EUR", l.stamp()); err != nil {
		return fmt.Errorf("deal: %w", err)
	}
	notes, mails, longest := 2+l.below(12), 12+l.below(24), 64<<10
	if room < nearTarget {
		notes, mails, longest = 1, 1, 2<<10
	}
	for range notes {
		l.ids.note++
		if _, err := in.note.ExecContext(ctx, l.ids.note, contact, l.pick(authors), l.note(), l.stamp()); err != nil {
			return fmt.Errorf("note: %w", err)
		}
	}
	for range mails {
		if err := l.correspond(ctx, in, contact, longest); err != nil {
			return err
		}
	}
	return nil
}

// correspond adds a mail, call or meeting, one in three with an earlier
// contact; few have a file.
func (l *loader) correspond(ctx context.Context, in *inserts, contact int64, longest int) error {
	if l.below(3) == 0 {
		contact = 1 + int64(l.below(int(l.ids.contact)))
	}
	l.ids.activity++
	subject := l.title(3 + l.below(5))
	if _, err := in.activity.ExecContext(ctx, l.ids.activity, contact, l.pick(kinds), subject,
		l.mail(200+l.below(1800)), l.stamp()); err != nil {
		return fmt.Errorf("activity: %w", err)
	}
	if l.ids.activity > 1 && l.below(36) > 0 {
		return nil
	}
	fileName, mediaType, content := l.attachment(500 + l.below(longest))
	if _, err := in.attachment.ExecContext(ctx, l.ids.activity, fileName, mediaType, content); err != nil {
		return fmt.Errorf("attachment: %w", err)
	}
	return nil
}

// transfer moves money between two different accounts.
func (l *loader) transfer(ctx context.Context, in *inserts) error {
	from, to, amount := l.payment()
	if _, err := in.withdraw.ExecContext(ctx, amount, from); err != nil {
		return fmt.Errorf("withdraw: %w", err)
	}
	if _, err := in.deposit.ExecContext(ctx, amount, to); err != nil {
		return fmt.Errorf("deposit: %w", err)
	}
	if _, err := in.transfer.ExecContext(ctx, from, to, amount, l.title(2), l.stamp()); err != nil {
		return fmt.Errorf("transfer: %w", err)
	}
	return nil
}

// payment draws two different accounts and an amount in cents.
func (p *prose) payment() (from, to, amount int) {
	from = 1 + p.below(Accounts)
	to = 1 + (from+p.below(Accounts-1))%Accounts
	return from, to, 1 + p.below(5000)
}
