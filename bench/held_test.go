package bench

import (
	"database/sql"
	"testing"
	"time"

	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/snapshot"
)

// BenchmarkRestoreHeld restores over the live database, in which one row in a hundred of
// a table has changed, and reports how long the application's writers were held off:
// without commits meanwhile (quiet), now and then (commits), all the time (busy).
func BenchmarkRestoreHeld(b *testing.B) {
	for _, journal := range []string{"wal", "delete"} {
		for name, every := range map[string]time.Duration{"quiet": 0, "commits": time.Second / 2, "busy": 2 * time.Millisecond} {
			b.Run(journal+"/"+name, func(b *testing.B) {
				m, bytes := crm(b, journal)
				made, err := m.Backup(b.Context(), snapshot.Manual(""))
				if err != nil {
					b.Fatal(err)
				}
				db, err := sql.Open("sqlite", "file:"+m.Database()+"?_pragma=busy_timeout(600000)&_pragma=synchronous(normal)&_txlock=immediate")
				if err != nil {
					b.Fatal(err)
				}
				defer db.Close()
				db.SetMaxOpenConns(1)
				b.SetBytes(bytes)
				var held time.Duration
				for b.Loop() {
					b.StopTimer()
					if _, err := db.Exec("UPDATE activities SET subject = subject || 'x' WHERE id % 100 = 0"); err != nil {
						b.Fatal(err)
					}
					stop, longest := make(chan struct{}), make(chan time.Duration)
					go func() { longest <- waits(b, db, every, stop) }()
					b.StartTimer()
					done, err := m.Restore(b.Context(), made.ID, snapshot.RestoreOptions{})
					b.StopTimer()
					close(stop)
					held += <-longest
					if err != nil {
						b.Fatal(err)
					}
					if err := m.Delete(b.Context(), []string{*done.SafetyBackup}, true); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				b.ReportMetric(float64(held.Milliseconds())/float64(b.N), "held-ms/op")
			})
		}
	}
}

// waits asks for the write lock all the time until stop, commits a change whenever that
// is due, and returns the longest wait.
func waits(b *testing.B, db *sql.DB, every time.Duration, stop <-chan struct{}) (longest time.Duration) {
	w := samplecrm.NewWriter(db, 1)
	next := time.Now().Add(every)
	for {
		select {
		case <-stop:
			return longest
		case <-time.After(2 * time.Millisecond):
		}
		began := time.Now()
		tx, err := db.Begin()
		longest = max(longest, time.Since(began))
		if err == nil {
			err = tx.Rollback()
		}
		if err == nil && every > 0 && time.Now().After(next) {
			next = time.Now().Add(every)
			err = w.Step(b.Context())
		}
		if err != nil {
			b.Error(err)
			return longest
		}
	}
}
