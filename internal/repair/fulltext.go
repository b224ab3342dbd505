package repair

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/sqlite"
)

// fullTextTables returns the names of the FTS5 tables, in order.
func fullTextTables(ctx context.Context, conn *sqlite.Conn) (names []string, err error) {
	modules, err := integrity.VirtualTables(ctx, conn)
	for name, module := range modules {
		if strings.EqualFold(module, "fts5") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

// ofFullText reports whether a table holds what FTS5 derives from the content: the
// index itself and the sizes of documents (https://www.sqlite.org/fts5.html §9).
func ofFullText(name string, indexed []string) bool {
	for _, t := range indexed {
		if rest, ok := strings.CutPrefix(name, t); ok && (rest == "_data" || rest == "_idx" || rest == "_docsize") {
			return true
		}
	}
	return false
}

// rebuildFullText has every damaged FTS5 table that keeps or knows its content index it
// again. A sound one may hold other words than its content on purpose. Those that keep no content
// are emptied, and returned.
func rebuildFullText(ctx context.Context, conn *sqlite.Conn) (emptied []string, err error) {
	tables, err := fullTextTables(ctx, conn)
	if err != nil {
		return nil, err
	}
	for _, name := range tables {
		if sound, err := soundTable(ctx, conn, name); err != nil {
			return nil, err
		} else if sound {
			continue
		}
		command := fmt.Sprintf("INSERT INTO %s(%[1]s) VALUES(", sqlite.QuoteName(name))
		err := conn.Exec(ctx, command+"'rebuild')")
		var e *sqlite.Error
		if errors.As(err, &e) && strings.Contains(e.Msg, "contentless") {
			emptied = append(emptied, name)
			err = conn.Exec(ctx, command+"'delete-all')")
		}
		if err != nil {
			return nil, err
		}
	}
	return emptied, nil
}

// soundTable reports whether quick_check finds no damage in a virtual table.
func soundTable(ctx context.Context, conn *sqlite.Conn, name string) (bool, error) {
	sound := true
	err := integrity.Scan(ctx, conn, name, func(f integrity.Finding) error {
		sound = sound && f.Code.Severity() < integrity.SeverityDamage
		return nil
	})
	if sqlite.IsDamage(err) {
		return false, nil
	}
	return sound, err
}
