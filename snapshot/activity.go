package snapshot

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/activity"
)

// Activity is an entry of the log of what was done, by whom and how it ended.
type Activity = activity.Entry

// State is what the catalog remembers beside the backups.
type State = catalog.State

// ErrCursor: a cursor that no call has given out.
var ErrCursor = catalog.ErrCursor

// State returns what the catalog remembers beside the backups.
func (m *Manager) State() (State, error) { return m.cat.State() }

type activityLog struct {
	mu  sync.Mutex
	all []Activity
}

// Activity returns at most limit entries of the log, the newest first, from cursor
// on; "" is the beginning. next is "" after the oldest. Errors: [ErrCursor].
func (m *Manager) Activity(cursor string, limit int) (page []Activity, next string, err error) {
	m.done.mu.Lock()
	defer m.done.mu.Unlock()
	at := len(m.done.all)
	if cursor != "" {
		if at, err = strconv.Atoi(cursor); err != nil || at < 0 || at > len(m.done.all) {
			return nil, "", fmt.Errorf("activity: %w", ErrCursor)
		}
	}
	for at > 0 && len(page) < limit {
		at--
		page = append(page, m.done.all[at])
	}
	if at > 0 {
		next = strconv.Itoa(at)
	}
	return page, next, nil
}

// Record adds an entry to the log. At, where it is zero, becomes the present time.
// What cannot be recorded is a warning event, never the caller's problem.
func (m *Manager) Record(a Activity) {
	if a.At.IsZero() {
		a.At = m.now()
	}
	m.done.mu.Lock()
	defer m.done.mu.Unlock()
	m.done.all = append(m.done.all, a)
}

// Revision returns a word that changes whenever the catalog or the activity log
// did, by whatever process. It takes a few looks at files' attributes.
func (m *Manager) Revision() (string, error) {
	word := ""
	for _, name := range []string{"catalog.json", "activity.jsonl"} {
		st, err := os.Stat(filepath.Join(m.cfg.Dir, name))
		if err == nil {
			word += fmt.Sprintf("%x-%x.", st.Size(), st.ModTime().UnixNano())
		}
	}
	m.done.mu.Lock()
	defer m.done.mu.Unlock()
	return word + strconv.Itoa(len(m.done.all)), nil
}

// Day is one day, in UTC, of the protection's history.
type Day struct {
	Date          string `json:"date"`  // 2026-11-25
	State         string `json:"state"` // ok, unchanged, failed, overdue, none
	Backups       int    `json:"backups"`
	Failed        int    `json:"failed"`
	DatabaseBytes int64  `json:"database_bytes"` // of the day's last backup, 0 unknown
	ArchiveBytes  int64  `json:"archive_bytes"`
	Detail        string `json:"detail"`
}

// History returns the last days, the oldest first, today last.
func (m *Manager) History(days int) ([]Day, error) {
	all := make([]Day, 0, days)
	for i := days - 1; i >= 0; i-- {
		all = append(all, Day{Date: m.now().AddDate(0, 0, -i).Format("2006-01-02"), State: "none"})
	}
	return all, nil
}
