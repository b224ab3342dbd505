package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/seekable"
	"example.com/snapd/internal/store"
)

// Document is a catalog object: what is known of the backups that were there when it was written. The names say which are there
// now, and the archives themselves what they are.
type Document struct {
	Format   int       `json:"format"`
	Database string    `json:"database_id"`
	Name     string    `json:"database"` // file name
	At       time.Time `json:"at"`
	PageSeed string    `json:"page_seed,omitempty"` // of the page digests
	Backups  []Stored  `json:"backups"`
}

// Stored is a backup of a Document.
type Stored struct {
	Object   string        `json:"object"` // its name
	Size     int64         `json:"size"`   // of the object
	Checksum string        `json:"checksum,omitempty"`
	Entry    catalog.Entry `json:"backup"`
}

const (
	documentFormat = 1
	maxDocument    = seekable.MaxFrameBytes
)

// catalogIsOld reports whether the newest catalog is from before recipients were configured, or after, or is for others: who has the key counts what is not
// sealed as his own only where a sealed catalog has it.
func (s *Sender) catalogIsOld() bool {
	newest, other := Name{Sealed: s.o.Sealed}, false
	for _, c := range s.ledger.Copies {
		if n, _ := Parse(c.Name); n.Kind == Catalog && n.Number > newest.Number {
			newest, other = n, c.otherKeys(keysOf(s.ledger.Recipients))
		}
	}
	return newest.Sealed != s.o.Sealed || other
}

// writeCatalog stores what is known of the backups under the next number.
func (s *Sender) writeCatalog(ctx context.Context) error {
	local, err := s.o.Host.Local(ctx)
	if err != nil {
		return err
	}
	d := Document{Format: documentFormat, Database: s.ledger.Database, Name: s.o.Database, At: s.o.Now().UTC(), PageSeed: local.State.PageSeed, Backups: []Stored{}}
	number := uint64(1)
	for _, c := range s.ledger.Copies {
		n, _ := Parse(c.Name)
		if n.Kind == Catalog {
			number = max(number, n.Number+1)
		}
		if n.Kind == Backup && c.Entry != nil && c.Damaged == "" {
			d.Backups = append(d.Backups, Stored{c.Name, c.Size, c.Checksum, *c.Entry})
		}
	}
	text, err := EncodeDocument(d)
	if err != nil {
		return err
	}
	for range maxNotes {
		n := Name{Kind: Catalog, Number: number, Sealed: s.o.Sealed}
		if err := n.Check(); err != nil {
			return fmt.Errorf("store the catalog at remote %s: %w", s.o.Name, err)
		}
		to, name := s.place.to(n)
		o, err := to.Put(ctx, name, bytes.NewReader(text), int64(len(text)))
		if errors.Is(err, store.ErrExists) {
			number++ // its answer was lost, or the list was old
			continue
		}
		if err != nil {
			return fmt.Errorf("store the catalog at remote %s: %w", s.o.Name, err)
		}
		s.ledger.put(Copy{Name: n.String(), Size: o.Size, Checksum: o.Checksum, At: s.o.Now().UTC(), Keys: s.keys(n)})
		s.save()
		return nil
	}
	return fmt.Errorf("store the catalog at remote %s: there is no end to the names that are taken", s.o.Name)
}

// EncodeDocument is the content of a catalog object.
func EncodeDocument(d Document) ([]byte, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	if len(text) > maxDocument {
		return nil, fmt.Errorf("the catalog has %d bytes, and at most %d fit", len(text), maxDocument)
	}
	enc, err := seekable.NewEncoder(seekable.Fastest, len(text))
	if err != nil {
		return nil, err
	}
	return enc.EncodeAll(text, nil), nil
}

// errDocument: what should be a catalog is none.
var errDocument = errors.New("it is not a catalog")

// DecodeDocument is the reverse of EncodeDocument. The text is untrusted: entries may be impossible. Errors: errDocument, and those of reading.
func DecodeDocument(r io.Reader) (d Document, err error) {
	packed, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return d, err
	}
	if len(packed) > maxDocument {
		return d, fmt.Errorf("%w: it has more than %d bytes", errDocument, maxDocument)
	}
	dec, err := seekable.NewDecoder()
	if err != nil {
		return d, err
	}
	defer dec.Close()
	text, err := dec.DecodeAll(packed, make([]byte, 0, maxDocument))
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err == nil && d.Format != documentFormat {
		err = fmt.Errorf("format %d, and this program knows %d", d.Format, documentFormat)
	}
	if err != nil {
		return Document{}, fmt.Errorf("%w: %w", errDocument, err)
	}
	return d, nil
}
