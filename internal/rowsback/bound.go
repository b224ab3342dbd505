package rowsback

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strings"

	"example.com/snapd/internal/rowdiff"
)

// Holds reports whether a later plan does under a policy what p showed. A plan that Compare did not make holds for none.
func (p Plan) Holds(now Plan, o Policy) bool {
	return p.Bound != [2][32]byte{} && p.Bound[0] == now.Bound[0] && (o != Replace || p.Bound[1] == now.Bound[1])
}

// binder adds up what a plan shows: the rows that are chosen and not as they were, with what is in their way; and the others that are
// there in their place, which only Replace takes away. It is the same for each policy.
type binder struct{ rows, others hash.Hash }

func newBinder() *binder { return &binder{sha256.New(), sha256.New()} }

func (b *binder) sum() [2][32]byte {
	return [2][32]byte{[32]byte(b.rows.Sum(nil)), [32]byte(b.others.Sum(nil))}
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
