// Command checkcost compares what a check of a healthy database costs, as whole
// processes, on each level and with the C library's own shell. In each round every
// program runs once, in turn; it prints a table in Markdown. Run it in the module:
//
//	go run ./bench/checkcost -size 1GiB -rounds 5
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
	"strings"

	"example.com/snapd/bench/internal/measure"
	"example.com/snapd/internal/samplecrm"
)

type options struct {
	size   measure.Size
	rounds int
	mode   string
	dir    string
	create string // only make the database, at this path
}

func main() {
	o := options{size: 1 << 30}
	flag.Var(&o.size, "size", "`bytes` of the database, as 64MiB or 1GiB")
	flag.IntVar(&o.rounds, "rounds", 5, "how often every program runs")
	flag.StringVar(&o.mode, "mode", "wal", "the database's `journal` mode, wal or delete")
	flag.StringVar(&o.dir, "dir", "", "`directory` for the database, which is removed again; the system's for temporary files")
	flag.StringVar(&o.create, "create", "", "make the database at this `path`, and no more")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "checkcost:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, w io.Writer) (err error) {
	if o.create != "" {
		return samplecrm.Create(ctx, o.create, samplecrm.Options{Bytes: int64(o.size), Seed: 1, JournalMode: o.mode})
	}
	if o.rounds < 1 {
		return fmt.Errorf("-rounds %d: at least one", o.rounds)
	}
	dir, err := os.MkdirTemp(o.dir, "checkcost-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	db, err := database(ctx, o, dir)
	if err != nil {
		return err
	}
	list, err := contestants(ctx, dir, db)
	if err != nil {
		return err
	}
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.rounds)
		for i := range list {
			// Every round begins with another one.
			if err := list[(i+round)%len(list)].run(ctx, dir); err != nil {
				return err
			}
		}
	}
	return table(ctx, w, db, o, list)
}

// database makes the database in a process of its own: what a process has held counts
// in the peak of those that it starts. Then it reads it once, so that no program
// pays for the disk.
func database(ctx context.Context, o options, dir string) (path string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "crm.db")
	fmt.Fprintf(os.Stderr, "making a database of %v\n", o.size)
	cmd := exec.CommandContext(ctx, self, "-create", path, "-size", o.size.String(), "-mode", o.mode)
	if _, _, err := measure.Run(cmd); err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return path, err
}

// contestants builds snapd and finds the shell.
func contestants(ctx context.Context, dir, db string) ([]*contestant, error) {
	snapd := filepath.Join(dir, "snapd")
	if runtime.GOOS == "windows" {
		snapd += ".exe"
	}
	fmt.Fprintln(os.Stderr, "building snapd")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", snapd, "example.com/snapd/cmd/snapd").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w: %s", err, out)
	}
	var list []*contestant
	for _, level := range []string{"header", "probe", "quick", "full"} {
		list = append(list, &contestant{name: "snapd check --level " + level, want: "healthy", args: []string{snapd, "check", "--level", level, db}})
	}
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		fmt.Fprintln(os.Stderr, "NOT COMPARED with the C shell: sqlite3 is not installed")
		return list, nil
	}
	for _, pragma := range []string{"quick_check", "integrity_check"} {
		list = append(list, &contestant{name: "sqlite3 " + pragma, want: "ok", yardstick: pragma == "quick_check",
			args: []string{shell, "-batch", db, "PRAGMA " + pragma}})
	}
	return list, nil
}

// environment is the caller's without what would configure the programs.
func environment(dir string) []string {
	env := []string{"HOME=" + os.DevNull, "TMPDIR=" + dir}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); name != "HOME" && name != "TMPDIR" && !strings.HasPrefix(name, "SNAPD_") {
			env = append(env, v)
		}
	}
	return env
}
