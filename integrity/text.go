package integrity

import (
	"context"
	"encoding/binary"
	"unicode/utf16"

	"example.com/snapd/internal/sqlite"
)

// textCoding is how a connection hands text over: a UTF-16 database's text comes
// in the database's own encoding. Nil is UTF-8.
type textCoding struct{ order binary.ByteOrder }

// codingOf asks the connection for a known letter.
func codingOf(ctx context.Context, conn *sqlite.Conn) (textCoding, error) {
	a, err := conn.Text(ctx, "SELECT 'a'")
	switch a {
	case "a\x00":
		return textCoding{binary.LittleEndian}, err
	case "\x00a":
		return textCoding{binary.BigEndian}, err
	}
	return textCoding{}, err
}

// text returns column i of st as UTF-8.
func (c textCoding) text(st *sqlite.Stmt, i int) string {
	s := st.Text(i)
	if c.order == nil {
		return s
	}
	units := make([]uint16, len(s)/2)
	for i := range units {
		units[i] = c.order.Uint16([]byte(s[2*i : 2*i+2]))
	}
	return string(utf16.Decode(units))
}
