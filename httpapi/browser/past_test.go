package browser

import (
	"context"
	"sync/atomic"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

// clock is a clock that can be set back, to make a history.
type clock struct{ off atomic.Int64 } // nanoseconds

func (c *clock) now() time.Time  { return time.Now().Add(time.Duration(c.off.Load())) }
func (c *clock) set(t time.Time) { c.off.Store(int64(time.Until(t))) }
func (c *clock) right()          { c.off.Store(0) }

// withPast gives a site weeks worth looking at, the newest backup being of so long
// ago: two automatic backups a day of a database that grows, notes, pins, a failure,
// days without any.
func withPast(newest time.Duration) func(*site) {
	return func(s *site) {
		s.t.Helper()
		var c clock
		s.config.Now = c.now
		s.config.Retention = catalog.Policy{Last: 12, Daily: 30}
		s.prepare = func() {
			now := time.Now().UTC()
			end := now.Add(-newest)
			midnight := now.Truncate(24 * time.Hour) // looked up once: a history may be made across it
			daysAgo := func(days, hour int) time.Time {
				return midnight.AddDate(0, 0, -days).Add(time.Duration(hour) * time.Hour)
			}
			for day := 29; day >= 0; day-- {
				for _, hour := range []int{1, 13} {
					at := daysAgo(day, hour)
					if at.After(end) {
						continue
					}
					c.set(at)
					switch {
					case day == 17 || day == 16 && hour == 1: // it was not running
					case day == 9 && hour == 13:
						s.manager.Record(snapshot.Activity{Who: "automatic", Action: "backup", Outcome: "failed", Trigger: "schedule",
							Code: "no_space", Detail: "the disk is full: 12 MB free, 31 MB needed"})
					default:
						s.grow(day)
						s.automatic()
					}
				}
				switch day {
				case 21:
					c.set(daysAgo(day, 15))
					s.manual("before the import of the trade fair's contacts")
				case 6:
					c.set(daysAgo(day, 15))
					s.backup(snapshot.Request{Kind: catalog.Manual, Trigger: catalog.TriggerManual, Note: "quarterly figures signed off", Pin: true})
				}
			}
			c.set(end)
			s.grow(0)
			if newest < snapshot.DefaultInterval {
				s.run() // begins with a backup
			} else {
				s.automatic()
			}
			c.set(end.Add(30 * time.Minute))
			if _, err := s.manager.Drill(s.t.Context(), s.find("latest").ID); err != nil {
				s.t.Fatal(err)
			}
			if _, err := s.manager.Prune(s.t.Context(), nil); err != nil {
				s.t.Fatal(err)
			}
			c.right()
			s.grow(0)
		}
	}
}

// run lets the schedule run next to the server, and returns after its first backup.
func (s *site) run() {
	s.t.Helper()
	before := s.find("latest").ID
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.manager.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("run: %v", err)
		}
	})
	s.waitFor("the backup at start-up", func() bool { return s.find("latest").ID != before })
	s.waitFor("the next one to be scheduled", func() bool {
		status, err := s.manager.Status(s.t.Context())
		return err == nil && status.NextRun != nil
	})
}

// grow is a day's work of the application.
func (s *site) grow(day int) {
	s.t.Helper()
	s.exec("INSERT INTO notes(contact_id, author, body, created_at) SELECT id, 'Ada', hex(randomblob(400 + 40 * ?)), datetime('now') FROM contacts LIMIT 40", 30-day)
}
