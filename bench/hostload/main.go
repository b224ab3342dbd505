// Command hostload measures what a backup costs the application whose database it is:
// how much longer its commits take, and how many fewer it makes, than in the same time
// just before without a backup. It prints tables in Markdown. Run it in the module:
//
//	go run ./bench/hostload -size 1GiB -rounds 5
//
// The database is a sample CRM. The application inserts a row per transaction and then
// thinks for a millisecond; in WAL mode with synchronous=NORMAL. It embeds the library
// (inprocess), or is another process (process, and rollback for a rollback journal).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
	size    measure.Size
	rounds  int
	dir     string
	only    string
	profile string
	under   string
	warm    int

	create, write string // what a process of our own does instead
}

func main() {
	o := options{size: 1 << 30}
	flag.Var(&o.size, "size", "`bytes` of the database, as 64MiB or 1GiB")
	flag.IntVar(&o.rounds, "rounds", 5, "how often everything is measured")
	flag.StringVar(&o.dir, "dir", "", "`directory` to work in; needs room for about three times -size; the system's for temporary files")
	flag.StringVar(&o.only, "only", "", "one `scenario` only: inprocess, process or rollback")
	flag.StringVar(&o.profile, "profile", "", "leave profiles of the last backup inside the host in this `directory`")
	flag.IntVar(&o.warm, "warm", 100, "`transactions` before each period; with 0 a backup begins while the log is wholly in the file, as one at start-up does")
	flag.StringVar(&o.under, "under", "", "`command` that runs snapd, as \"nice -n 19\"")
	flag.StringVar(&o.create, "create", "", "make the database at this `path`, and no more")
	flag.StringVar(&o.write, "write", "", "be the application of the database at this `path`, as standard input says, and no more")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "hostload:", err)
		os.Exit(1)
	}
}

// scenarios in the order of the tables.
var scenarios = []struct {
	name string
	run  func(context.Context, *field) error
}{{"inprocess", inProcess}, {"process", otherProcess}, {"rollback", rollback}}

func run(ctx context.Context, o options, w io.Writer) (err error) {
	switch {
	case o.create != "":
		return samplecrm.Create(ctx, o.create, samplecrm.Options{Bytes: int64(o.size), Seed: 1})
	case o.write != "":
		return serve(ctx, o, os.Stdin, w)
	case o.rounds < 1:
		return fmt.Errorf("-rounds %d: at least one", o.rounds)
	case runtime.GOOS == "windows":
		return errors.New("it needs cp and sync")
	}
	if o.dir, err = os.MkdirTemp(o.dir, "hostload-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	f, err := prepare(ctx, o, w)
	if err != nil {
		return err
	}
	done := false
	for _, s := range scenarios {
		if o.only != "" && s.name != o.only {
			continue
		}
		done = true
		if err := s.run(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if !done {
		return fmt.Errorf("-only %s: no such scenario", o.only)
	}
	return nil
}

// field is where it takes place.
type field struct {
	o               options
	w               io.Writer // of the tables
	self, snapd, db string
}

// prepare builds snapd, and makes the database in a process of its own, so that the
// host's memory is a host's.
func prepare(ctx context.Context, o options, w io.Writer) (*field, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f := &field{o: o, w: w, self: self, db: filepath.Join(o.dir, "crm.db"), snapd: filepath.Join(o.dir, "snapd")}
	fmt.Fprintln(os.Stderr, "building snapd")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", f.snapd, "example.com/snapd/cmd/snapd").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w: %s", err, out)
	}
	fmt.Fprintf(os.Stderr, "making a database of %v\n", o.size)
	if _, _, err := measure.Run(exec.CommandContext(ctx, self, "-create", f.db, "-size", o.size.String())); err != nil {
		return nil, err
	}
	st, err := os.Stat(f.db)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(w, "%s, a CRM database of %d bytes in the page cache; %d rounds. Figures are medians (min – max), ratios those within one round.\n%s/%s, %d processors, %s.\n",
		time.Now().UTC().Format(time.DateOnly), st.Size(), o.rounds, runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	return f, nil
}

// settle lets the disk finish what came before, so that it does not count in what follows.
func (f *field) settle(ctx context.Context) error {
	_, _, err := measure.Run(exec.CommandContext(ctx, "sync"))
	return err
}

// store is an empty backup directory.
func (f *field) store() (string, error) {
	dir := filepath.Join(f.o.dir, "backups")
	return dir, os.RemoveAll(dir)
}
