// Command compare runs this program and what people would otherwise use to back up an
// SQLite database, one after the other in every round, each to durable storage, and
// prints a table in Markdown. Peers that are not on PATH are left out, and it says so.
// Run it in the module:
//
//	go run ./bench/compare -size 1GiB -rounds 5
//
// With -only continuous it compares what keeps each commit, next to the same writer: the writer's
// rate and 99th percentile, the processor time of the service, what it stores, the -wal, a kill -9 of
// both at a random moment, restores to the last moment and to one in the middle, and what it
// uses while nothing happens (Linux).
//
// With -only remote it sends an archive to object storage on this machine (versitygw, which make tools builds), plain and
// sealed, next to a plain client of the same library, and restores from there.
//
// The database is a sample CRM in WAL mode, with a process that goes on writing to it
// during the backups. Figures of one table can be compared with one another; those of
// two tables, from two machines or hours, cannot.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"

	"example.com/snapd/bench/internal/measure"
	"example.com/snapd/internal/samplecrm"
)

type options struct {
	size   measure.Size
	rounds int
	dir    string
	cold   bool
	only   string
	ours   bool

	rates          string // of continuous, and what follows
	duration, idle time.Duration
	kills          int

	create, write, ledger, alone string // what a process of our own does instead
	touch                        measure.Size
	objects                      string
}

func main() {
	o := options{size: 1 << 30}
	flag.Var(&o.size, "size", "`bytes` of the database, as 64MiB or 1GiB")
	flag.IntVar(&o.rounds, "rounds", 5, "how often every program runs")
	flag.StringVar(&o.dir, "dir", "", "`directory` to work in; needs room for about six times -size; the system's for temporary files")
	flag.BoolVar(&o.cold, "cold", false, "take the files out of the page cache before every run (Linux)")
	flag.StringVar(&o.only, "only", "", "one `group` only: backup, verify, restore or check; continuous: what keeps each commit, next to a writer; or remote: copies in object storage")
	flag.BoolVar(&o.ours, "ours", false, "leave out the peers")
	flag.StringVar(&o.rates, "rates", "100,1000", "continuous: `commits` a second")
	flag.DurationVar(&o.duration, "duration", time.Minute, "continuous: how long each writer works")
	flag.DurationVar(&o.idle, "idle", 20*time.Second, "continuous: how long it is idle afterwards")
	flag.IntVar(&o.kills, "kills", 5, "continuous: how often writer and service are killed in each round")
	flag.StringVar(&o.create, "create", "", "make the database at this `path`, and no more")
	flag.StringVar(&o.write, "write", "", "write to the database at this `path` until interrupted, and no more")
	flag.StringVar(&o.ledger, "ledger", "", "with -write and a single -rates: note each commit in the file at this `path`")
	flag.StringVar(&o.alone, "alone", "", "store the database at this `path` in -dir, without proof, and no more")
	flag.Var(&o.touch, "touch", "take so many `bytes` of memory for a moment, and no more")
	flag.StringVar(&o.objects, "objects", "", "do this with object storage, as the environment says: send, plain, get or remove, and no more")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	switch {
	case o.create != "":
		return samplecrm.Create(ctx, o.create, samplecrm.Options{Bytes: int64(o.size), Seed: 1})
	case o.write != "" && o.ledger != "":
		rates, err := o.perSecond()
		if err != nil {
			return err
		}
		return writeLedger(ctx, o.write, ledger{o.ledger}, rates[0])
	case o.write != "":
		return write(ctx, o.write)
	case o.touch > 0:
		return touch(int64(o.touch))
	case o.objects != "":
		return objects(ctx, o.objects)
	case o.alone != "":
		return storeAlone(ctx, o.alone, o.dir)
	case o.rounds < 1:
		return fmt.Errorf("-rounds %d: at least one", o.rounds)
	}
	if o.dir, err = os.MkdirTemp(o.dir, "compare-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	f, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	if o.only == "continuous" {
		return f.continuous(ctx)
	}
	if o.only == "remote" {
		return f.remote(ctx)
	}
	jobs := f.jobs(o.only)
	if err := f.rounds(ctx, jobs); err != nil {
		return err
	}
	f.tables(os.Stdout, jobs)
	return nil
}

// rounds runs every job once in each, every time in another order: what one leaves to
// the next is not always left to the same.
func (f *field) rounds(ctx context.Context, jobs []*job) error {
	order := rand.New(rand.NewPCG(1, 1))
	for round := range f.o.rounds {
		for _, i := range order.Perm(len(jobs)) {
			j := jobs[i]
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", round+1, f.o.rounds, j.name)
			if err := f.run(ctx, j); err != nil {
				return fmt.Errorf("%s: %w", j.name, err)
			}
		}
	}
	return nil
}

// field is where the comparison takes place.
type field struct {
	o     options
	self  string // this program
	snapd string
	db    string
	bytes int64 // of the database, when it was made
	have  map[string]string
	env   []string // of every script, in addition
}

// peers are the programs that users have, with the arguments that print their version.
var peers = []struct{ name, version string }{{"sqlite3", "--version"}, {"zstd", "--version"}, {"restic", "version"}, {"borg", "--version"}, {"litestream", "version"}}

// prepare builds snapd, finds the peers, and makes the database in a process of its
// own: what a process has held counts in the peak of those that it starts.
func prepare(ctx context.Context, o options) (*field, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f := &field{o: o, self: self, db: filepath.Join(o.dir, "crm.db"), snapd: filepath.Join(o.dir, "snapd"), have: map[string]string{}}
	if runtime.GOOS == "windows" {
		return nil, errors.New("the peers are run by a Unix shell")
	}
	fmt.Fprintln(os.Stderr, "building snapd")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", f.snapd, "example.com/snapd/cmd/snapd").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w: %s", err, out)
	}
	for _, p := range peers {
		if o.ours {
			break
		}
		out, err := exec.CommandContext(ctx, p.name, p.version).Output()
		if err != nil {
			fmt.Fprintf(os.Stderr, "NOT COMPARED with %s: %v\n", p.name, err)
			continue
		}
		f.have[p.name] = versionIn(string(out))
	}
	fmt.Fprintf(os.Stderr, "making a database of %v\n", o.size)
	if _, _, err := measure.Run(exec.CommandContext(ctx, self, "-create", f.db, "-size", o.size.String())); err != nil {
		return nil, err
	}
	st, err := os.Stat(f.db)
	if err != nil {
		return nil, err
	}
	f.bytes = st.Size()
	if o.only == "backup" || o.only == "check" || o.only == "continuous" || o.only == "remote" { // they need no stored backup
		return f, nil
	}
	return f, f.stock(ctx)
}
