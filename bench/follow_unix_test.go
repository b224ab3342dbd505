//go:build unix

package bench

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/samplecrm"
)

// followWriter commits at a rate (0: as fast as it can) for some seconds, with SQLite's own defaults, and
// says how many commits there were, the 99th percentile of their times, and the largest log.
const followWriter = `
import json, os, random, resource, sqlite3, sys, time
path, rate, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
db = sqlite3.connect(path, isolation_level=None, timeout=60)
db.execute("PRAGMA synchronous=NORMAL")
db.execute("CREATE TABLE IF NOT EXISTS counter(id INTEGER PRIMARY KEY, n, pad)")
db.execute("INSERT OR IGNORE INTO counter VALUES(1, 0, '')")
last = db.execute("SELECT max(id) FROM activities").fetchone()[0]
took, log, begin = [], 0, time.perf_counter()
while time.perf_counter() - begin < seconds:
    t = time.perf_counter()
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
    db.execute("UPDATE activities SET subject = subject WHERE id = ?", (random.randint(1, last),))
    db.execute("COMMIT")
    took.append(time.perf_counter() - t)
    if len(took) % 100 == 0:
        log = max(log, os.stat(path + "-wal").st_size)
    if rate:
        time.sleep(max(0, begin + len(took) / rate - time.perf_counter()))
spent = time.perf_counter() - begin
took.sort()
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"rate": len(took) / spent, "cpu": (used.ru_utime + used.ru_stime) / len(took) * 1e6, "p99": took[len(took) * 99 // 100] * 1e3, "log": log}))
`

// written is what a followWriter says.
type written struct {
	Rate float64 // commits a second
	P99  float64 // ms
	CPU  float64 // µs of a core for each commit
	Log  int64   // bytes
}

// BenchmarkFollow captures next to a writer with SQLite's defaults, at a hundred and a thousand commits
// a second, and as many as it can. Turns with and without captures alternate; the figures are the writer's rate,
// 99th percentile and time of a core for each commit as ratios of those without, our time of a core, what was missed and had to
// be found by comparing, and by how much the log was longer. In the end the last point is compared with the
// database.
func BenchmarkFollow(b *testing.B) {
	if _, err := exec.LookPath("python3"); err != nil {
		b.Skip("no python3")
	}
	const turn = 4 * time.Second
	for _, rate := range []int{100, 1000, 0} {
		b.Run(fmt.Sprint("rate=", rate), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "crm.db")
			if err := samplecrm.Create(b.Context(), path, samplecrm.Options{Bytes: size(b), Seed: 1, JournalMode: "wal"}); err != nil {
				b.Fatal(err)
			}
			write := func() (w written) {
				out, err := exec.CommandContext(b.Context(), "python3", "-c", followWriter, path, fmt.Sprint(rate), fmt.Sprint(turn.Seconds())).Output()
				if err == nil {
					err = json.Unmarshal(out, &w)
				}
				if err != nil {
					b.Fatal(err)
				}
				return w
			}
			write()
			idle, err := sql.Open("sqlite", path) // the application has other connections: none of the writer's is the last
			if err != nil {
				b.Fatal(err)
			}
			defer idle.Close()
			if _, err := idle.Exec("SELECT count(*) FROM counter"); err != nil {
				b.Fatal(err)
			}
			chain := chainOf(b, path)
			var alone, next written
			var account followed
			for b.Loop() {
				w := write()
				alone.Rate += w.Rate
				alone.P99 += w.P99
				alone.CPU += w.CPU
				alone.Log = max(alone.Log, w.Log)
				if _, err := chain.Capture(b.Context(), time.Now); err != nil { // what the other turn wrote
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(b.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					follow(ctx, b, path, chain, &account)
				}()
				for account.looks.Load() == 0 {
					time.Sleep(time.Millisecond)
				}
				cpu := cpuTime()
				w = write()
				account.cpu += cpuTime() - cpu
				next.Rate += w.Rate
				next.P99 += w.P99
				next.CPU += w.CPU
				next.Log = max(next.Log, w.Log)
				cancel()
				<-done
			}
			proveLast(b, path, chain)
			b.ReportMetric(next.Rate/alone.Rate, "rate-ratio")
			b.ReportMetric(next.P99/alone.P99, "p99-ratio")
			b.ReportMetric(next.CPU/alone.CPU, "cpu-ratio")
			b.ReportMetric(next.Rate/float64(b.N), "commits/s")
			b.ReportMetric(100*account.cpu.Seconds()/turn.Seconds()/float64(b.N), "%core")
			b.ReportMetric(float64(account.gaps)/float64(b.N), "gaps/op")
			b.ReportMetric(float64(account.captures)/float64(b.N), "captures/op")
			b.ReportMetric(float64(next.Log-alone.Log)/(1<<20), "log-MiB")
			for reason, n := range account.reasons {
				b.Logf("%d compared: %s", n, reason)
			}
		})
	}
}

// followed is what captures found.
type followed struct {
	looks          atomic.Int64
	captures, gaps int
	reasons        map[string]int
	cpu            time.Duration
}

func follow(ctx context.Context, b *testing.B, path string, chain *capture.Chain, a *followed) {
	w, err := capture.NewWatch(path, capture.Pace{})
	if err != nil {
		b.Error(err)
	}
	defer w.Close()
	for {
		due, err := w.Next(ctx)
		if err != nil {
			break
		}
		if due == capture.Rest {
			if err := chain.Rest(); err != nil {
				b.Error(err)
			}
			continue
		}
		out, err := chain.Capture(b.Context(), time.Now)
		if err != nil {
			b.Error(err)
		}
		switch out.Way {
		case capture.Compared:
			if a.gaps++; a.reasons == nil {
				a.reasons = map[string]int{}
			}
			a.reasons[out.Reason]++
		case capture.Followed:
			a.captures++
		}
		w.Looked(out, err)
		a.looks.Add(1)
	}
	if err := chain.Rest(); err != nil {
		b.Error(err)
	}
}

// proveLast compares the newest state with the database.
func proveLast(b *testing.B, path string, chain *capture.Chain) {
	if _, err := chain.Capture(b.Context(), time.Now); err != nil {
		b.Fatal(err)
	}
	_, have := chain.State()
	s, err := pages.Begin(b.Context(), path, livedb.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var sum archive.Sum
	var pgno int64
	err = s.CopyTo(b.Context(), writerFunc(func(page []byte) {
		pgno++
		sum.Add(archive.PageDigest(captureSeed, pgno, page))
	}), nil)
	if err != nil {
		b.Fatal(err)
	}
	if sum.Digits() != have {
		b.Fatal("the last point is not the database")
	}
}

type writerFunc func([]byte)

func (w writerFunc) Write(p []byte) (int, error) { w(p); return len(p), nil }

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
