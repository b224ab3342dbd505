package rowsback

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strings"

	"example.com/snapd/internal/rowdiff"
)

// Bound stands for what a plan shows. Plans of any policy for the same rows, tables and triggers have the same one.
type Bound struct {
	rows   rowdiff.Digest // what is chosen and not as it was, and what is in its way
	others rowdiff.Digest // what is there in its place, which only Replace takes away
}

// Holds reports whether a later plan does under a policy what the one that b is of showed. The zero value holds for none.
func (b Bound) Holds(now Bound, o Policy) bool {
	return b != Bound{} && b.rows == now.rows && (o != Replace || b.others == now.others)
}

// binder adds up a Bound.
type binder struct{ rows, others hash.Hash }

func newBinder() *binder { return &binder{sha256.New(), sha256.New()} }

func (b *binder) sum() (s Bound) {
	copy(s.rows[:], b.rows.Sum(nil))
	copy(s.others[:], b.others.Sum(nil))
	return s
}

// text adds text, with its length.
func (b *binder) text(all ...string) {
	for _, s := range all {
		_, _ = b.rows.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		_, _ = b.rows.Write([]byte(s))
	}
}

// table adds a table, with the triggers that run when its rows are changed.
func (b *binder) table(s *rowdiff.Schema, r *Rows) {
	b.text(r.name(), r.sql)
	for _, o := range s.Objects {
		if o.Type == "trigger" && strings.EqualFold(o.Table, r.name()) {
			b.text(o.Name, o.SQL)
		}
	}
}

// row adds a row of r that is not as it was, with what happens to it: a word.
func (b *binder) row(r *Rows, x *row, what string) {
	b.text(what)
	if !r.keyed() {
		_ = binary.Write(b.rows, binary.BigEndian, x.id)
	}
	_, _ = b.rows.Write(rowdiff.DigestOf(x.values)[:])
}

// other adds the row that is there in its place.
func (b *binder) other(d *rowdiff.Digest) { _, _ = b.others.Write(d[:]) }
