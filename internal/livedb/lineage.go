package livedb

import (
	"context"
	"fmt"
	"strings"

	"example.com/snapd/internal/lineage"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// ownTables are the tables that the application made. Those in which a virtual table keeps its content, which have
// rows always, are known by their names: pragma_table_list, which knows them too, compiles every view.
const ownTables = `WITH virtual(name) AS MATERIALIZED (SELECT name FROM sqlite_schema WHERE type='table' AND rootpage=0 LIMIT %[2]d)
	SELECT name FROM sqlite_schema AS t WHERE type='table' AND rootpage>0 AND name NOT LIKE 'sqlite\_%%' ESCAPE '\' AND octet_length(name)<=%[1]d
	AND NOT EXISTS (SELECT 1 FROM virtual AS v WHERE substr(t.name, 1, length(v.name)+1)=v.name||'_' COLLATE NOCASE
		AND instr(substr(t.name, length(v.name)+2), '_')=0)
	ORDER BY rowid LIMIT %[2]d`

// Lineage returns what the database is recognised by, as t sees it, but for its file.
func (t *Tx) Lineage(ctx context.Context) (lineage.Facts, error) {
	h := sqlitefile.HeaderOf(t.page1)
	if h == nil {
		return lineage.Facts{}, nil // no page
	}
	f, err := LineageOf(ctx, t.conn, h, t.info.PageCount)
	if err != nil {
		return f, Explain("look at tables", t.path, err)
	}
	return f, nil
}

// LineageOf returns what the database that conn reads is recognised by, but for its file. It has that header, and so many pages.
func LineageOf(ctx context.Context, conn *sqlite.Conn, h *sqlitefile.Header, pages int64) (lineage.Facts, error) {
	_, free := h.Freelist()
	f := lineage.Facts{ApplicationID: int64(h.ApplicationID()), Counter: h.ChangeCounter(), UsedBytes: max(0, pages-int64(free)) * int64(h.PageSize())}
	var tables []string
	err := conn.Each(ctx, fmt.Sprintf(ownTables, lineage.MaxName, lineage.MaxTables), func(s *sqlite.Stmt) error {
		tables = append(tables, s.Text(0))
		return nil
	})
	for _, name := range tables {
		if err != nil {
			break
		}
		var filled int64
		filled, err = conn.Int(ctx, `SELECT EXISTS(SELECT 1 FROM "`+strings.ReplaceAll(name, `"`, `""`)+`")`)
		name = strings.ToValidUTF8(name, "\uFFFD") // as JSON keeps it
		if filled != 0 {
			f.Filled = append(f.Filled, name)
		} else {
			f.Bare = append(f.Bare, name)
		}
	}
	if err != nil {
		return lineage.Facts{}, err
	}
	return f, nil
}

// Lineage adds to facts the file that f is of.
func (f Fingerprint) Lineage(facts lineage.Facts) lineage.Facts {
	facts.File, facts.Size = f.Main.ID.Ino, f.Main.Size
	return facts
}
