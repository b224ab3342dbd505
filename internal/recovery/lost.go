package recovery

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"example.com/snapd/catalog"
)

// Recovered is a recovery that lost something, or may have, and that no person has acknowledged.
type Recovered struct {
	At         time.Time  `json:"at"`
	Action     Action     `json:"action"`      // restored or repaired
	Backup     *string    `json:"backup"`      // that was restored
	LosesSince *time.Time `json:"loses_since"` // when that was taken: later changes are lost
	// RowsLost and TransactionsLost are what a repair lost, as far as that is known.
	RowsLost         int64   `json:"rows_lost"`
	TransactionsLost int64   `json:"transactions_lost"`
	Unrestored       *int64  `json:"unrestored"` // rows that can still be read in Kept and are not in Backup; null: not known
	Kept             *string `json:"kept"`       // path of the damaged database; null where there was none
	Loses            string  `json:"loses"`      // one sentence
}

// Unseen are the recoveries that no person has acknowledged, the newest first. dir is the backup directory.
func Unseen(dir string, state catalog.State) []Recovered {
	all := []Recovered{}
	for _, o := range slices.Backward(state.Recovered) {
		if o.Seen {
			continue
		}
		r := Recovered{At: o.At.UTC(), Action: Action(o.Action), LosesSince: o.LosesSince, RowsLost: o.Rows, TransactionsLost: o.Transactions, Unrestored: o.Unrestored}
		if o.Backup != "" {
			r.Backup = &o.Backup
		}
		if o.Kept != "" {
			r.Kept = new(filepath.Join(dir, o.Kept))
		}
		r.Loses = r.loss(o.Detail)
		all = append(all, r)
	}
	return all
}

// loss says what was lost; detail is what a repair said of itself.
func (r *Recovered) loss(detail string) string {
	if r.Action == ActionRepaired {
		return cmp.Or(detail, "what is not known: the program ended before it could say so")
	}
	loses := "all changes since the backup"
	if r.LosesSince != nil {
		loses = "all changes since " + r.LosesSince.UTC().Format(time.RFC3339)
	}
	if n := r.Unrestored; n != nil && r.Kept != nil {
		loses += fmt.Sprintf("; %d rows that are not in the database can still be read in the file that was kept", *n)
	}
	return loses
}
