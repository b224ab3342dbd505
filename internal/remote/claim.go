package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"example.com/snapd/internal/message"
	"example.com/snapd/internal/store"
)

// Writers of a remote leave notes, numbered from 1, each written once:
//
//	start ── the newest claim is this directory's, or there is none ──▶ claims the next number ──▶ writes
//	  │                                                                                             │ before each object it asks
//	  ├── it is another's ──▶ leaves a note that it was refused ──▶ stops, and says whose it is     │ for the next number
//	  └── it is this directory's, which does not know of it ──▶ stops: the directory was put back   │
//	                                                                                                ▼
//	                        the next number is ── not taken ──▶ goes on
//	                                           ── of one that was refused ──▶ says who that was, and goes on
//	                                           ── claimed by another process ──▶ stops, and says who that is
//
// A directory is known by a token in its ledger, which does not count in a copy of the directory. Of two processes with the same
// token, which only a machine that was cloned as a whole has, the one that started first stops.

// ErrOtherWriter: another writer uses the remote. Nothing more is sent.
var ErrOtherWriter = errors.New("the remote is written to by another snapd")

// note is what a writer leaves.
type note struct {
	Token    string    `json:"token"`
	Run      string    `json:"run"` // of the process
	Host     string    `json:"host"`
	PID      int       `json:"pid"`
	Database string    `json:"database"` // file name
	At       time.Time `json:"at"`
	Refused  bool      `json:"refused,omitempty"`

	number uint64
}

// String is the writer for people.
func (n note) String() string {
	return fmt.Sprintf("snapd on %s (pid %d), database %s, since %s", named(n.Host), n.PID, named(n.Database), n.At.UTC().Format(time.RFC3339))
}

// maxNamed is how much of a name is shown that another wrote.
const maxNamed = 255

// named is a name that another wrote, for people: of one line, and not longer than names are.
func named(s string) string {
	s = message.OneLine(s[:min(len(s), 4*maxNamed)])
	if r := []rune(s); len(r) > maxNamed {
		s = string(r[:maxNamed-1]) + "…"
	}
	return s
}

// description is snapd.json: what the place is.
type description struct {
	Format    int             `json:"format"`
	Database  string          `json:"database_id"`
	Name      string          `json:"database"` // file name
	Created   time.Time       `json:"created_at"`
	Host      string          `json:"host"`
	Abilities store.Abilities `json:"store"`
}

const descriptionFormat = 1

// maxSmall bounds notes and descriptions.
const maxSmall = 64 << 10

// getSmall reads a small object.
func getSmall(ctx context.Context, s store.Store, name string, v any) error {
	r, err := s.Get(ctx, name, "", 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxSmall+1))
	if err == nil && len(text) > maxSmall {
		err = fmt.Errorf("it has more than %d bytes", maxSmall)
	}
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

func putSmall(ctx context.Context, s store.Store, name string, v any) (store.Object, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return store.Object{}, err
	}
	return s.Put(ctx, name, bytes.NewReader(text), int64(len(text)))
}

func getNote(ctx context.Context, s store.Store, number uint64) (n note, err error) {
	err = getSmall(ctx, s, Name{Kind: Writer, Number: number}.String(), &n)
	n.number = number
	return n, err
}

// lastClaim walks back from the newest note to the claim that holds. ok is false where there is none. Those after the last that is listed may not be there.
func lastClaim(ctx context.Context, s store.Store, newest, listed uint64) (n note, ok bool, err error) {
	for number := newest; number > 0; number-- {
		n, err = getNote(ctx, s, number)
		switch {
		case errors.Is(err, store.ErrMissing) && number > listed:
		case errors.Is(err, store.ErrMissing): // those before it were removed
			return note{}, false, nil
		case err != nil:
			return note{}, false, err
		case !n.Refused:
			return n, true, nil
		}
	}
	return note{}, false, nil
}

// self is the note of this process.
func self(token, run, database string, now time.Time) note {
	host, err := os.Hostname()
	if err != nil {
		host = "a host without a name"
	}
	return note{Token: token, Run: run, Host: host, PID: os.Getpid(), Database: database, At: now.UTC().Truncate(time.Second)}
}

// otherWriter is the error for a claim of another.
func otherWriter(n note, remote string) error {
	return message.WithHint(fmt.Errorf("%w: %s", ErrOtherWriter, n),
		"if that one is gone for good, run snapd remote adopt "+remote+" here; else give this one a remote of its own")
}

// maxNotes bounds how many notes, or catalogs, a list may not have shown yet.
const maxNotes = 1000

// claim takes the next number after the last that is listed for me, unless another holds the claim. The ledger has the number first: a claim of
// this directory's own that it does not know of was made after the moment to which the directory was put back.
func (s *Sender) claim(ctx context.Context, there store.Store, me note, listed uint64) error {
	newest := max(listed, s.ledger.Claim)
	for range maxNotes {
		holder, held, err := lastClaim(ctx, there, newest, listed)
		switch {
		case err != nil:
			return fmt.Errorf("find out who writes there: %w", err)
		case held && holder.Token != me.Token:
			return refuse(ctx, there, me, holder, newest, s.o.Name)
		case held && holder.number > s.ledger.Claim:
			return errOlder(s.o.Name, fmt.Sprintf("this directory, or one that it was copied from, began to write at %s, which is not known here", holder.At.UTC().Format(time.RFC3339)))
		}
		next := Name{Kind: Writer, Number: newest + 1}
		if err := next.Check(); err != nil {
			return fmt.Errorf("claim the remote: %w", err)
		}
		if err := s.intend(next.Number); err != nil {
			return err
		}
		_, err = putSmall(ctx, there, next.String(), me)
		if err == nil {
			return nil
		}
		if !errors.Is(err, store.ErrExists) {
			return fmt.Errorf("claim the remote: %w", err)
		}
		newest++ // an old list did not show it, or another claims just now
	}
	return errors.New("claim the remote: there is no end to the notes of writers")
}

// intend writes down which claim is made next.
func (s *Sender) intend(number uint64) error {
	if s.abandoned.Load() {
		return errOver
	}
	s.ledger.Claim = number
	return s.ledger.write(s.o.Dir)
}

// maxRefused bounds the notes of those who were refused, while the holder is not there to read and remove them: each start of a container
// without a directory of its own would leave one.
const maxRefused = 8

// refuse leaves a note for the holder that this one came, once, and returns what is to be said here.
func refuse(ctx context.Context, s store.Store, me, holder note, newest uint64, remote string) error {
	if last, err := getNote(ctx, s, newest); (err != nil || !last.Refused || last.Token != me.Token) && newest < holder.number+maxRefused {
		me.Refused = true
		_, _ = putSmall(ctx, s, Name{Kind: Writer, Number: newest + 1}.String(), me) // without it, it is refused all the same
	}
	return otherWriter(holder, remote)
}

// stillMine asks for the note after number, which another writer would have left. It returns those who were refused, and
// the number to go on with.
func stillMine(ctx context.Context, s store.Store, me note, number uint64, remote string) (now uint64, refused []note, err error) {
	for {
		_, err := s.Stat(ctx, Name{Kind: Writer, Number: number + 1}.String())
		if errors.Is(err, store.ErrMissing) {
			return number, refused, nil
		}
		if err != nil {
			return number, refused, fmt.Errorf("ask whether another writes there: %w", err)
		}
		n, err := getNote(ctx, s, number+1)
		if err != nil {
			return number, refused, fmt.Errorf("find out who writes there: %w", err)
		}
		if !n.Refused {
			return number, refused, otherWriter(n, remote)
		}
		number++
		if n.Run != me.Run {
			refused = append(refused, n)
		}
	}
}
