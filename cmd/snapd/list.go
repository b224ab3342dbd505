package main

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"example.com/snapd/snapshot"
)

type listCmd struct{}

// backupsDocument is the JSON form of several backups.
type backupsDocument struct {
	Backups []snapshot.Backup `json:"backups"`
}

// printJSON writes what encoding/json would, one backup at a time: with ten thousand
// of them that one takes longer, and more memory, than all else that list does.
func (d backupsDocument) printJSON(w io.Writer) error {
	if len(d.Backups) == 0 {
		return encodeIndented(w, d)
	}
	out := bufio.NewWriter(w)
	out.WriteString("{\n  \"backups\": [")
	var buf []byte
	for i := range d.Backups {
		sep := ",\n    "
		if i == 0 {
			sep = "\n    "
		}
		buf = d.Backups[i].AppendIndented(append(buf[:0], sep...), "    ", "  ")
		out.Write(buf)
	}
	out.WriteString("\n  ]\n}\n")
	return out.Flush() // the first error of all
}

func (c *listCmd) run(ctx context.Context, a *app) error {
	m, err := a.open(ctx, nil)
	if err != nil {
		return err
	}
	all, err := m.Backups()
	if err != nil {
		return err
	}
	if all == nil {
		all = []snapshot.Backup{}
	}
	return a.result(backupsDocument{all}, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintf(w, "there are no backups of %s in %s yet\n", m.Database(), m.Dir())
			return
		}
		backupTable(w, all)
	})
}
