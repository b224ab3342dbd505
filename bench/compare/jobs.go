package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"example.com/snapd/bench/internal/measure"
)

// job is one way to do what a group is about.
type job struct {
	group, name string
	needs       []string // peers
	before      string   // shell, not timed
	script      string   // shell, timed; ends when the outcome is durable
	after       string   // shell, not timed
	stored      string   // path of what it stored; "" for nothing
	note        string   // what the others do that it does not
	of          int64    // bytes that its rate is of; 0: those of the database

	costs []measure.Cost
	bytes []int64
}

// ours is the job that the others of its group are compared with.
func (j *job) ours() bool { return strings.HasPrefix(j.name, "snapd") }

// groups in the order of the tables, with their titles.
var groups = []struct{ name, title string }{
	{"backup", "Backup of a database in use, to durable storage"},
	{"verify", "Proof of a stored backup"},
	{"restore", "Restore to a file, durable"},
	{"check", "Is the database whole?"},
	{"send", "An archive, to object storage"},
	{"store", "A backup of the database, to object storage"},
	{"fetch", "Restore from object storage to a file, durable"},
}

// script fills in the paths: $DB, $W (a directory that is empty before every run), $K
// (what stock left), $SNAPD, $SELF, $N (processors).
const (
	resticEnv = "export RESTIC_PASSWORD=x RESTIC_CACHE_DIR=$W/cache; "
	borgEnv   = "export BORG_BASE_DIR=$K/borgbase BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes BORG_RELOCATED_REPO_ACCESS_IS_OK=yes; "
)

func allJobs() []*job {
	return []*job{
		{group: "backup", name: "snapd backup", script: `$SNAPD backup --quiet --db $DB --dir $W/b`, stored: "b"},
		{group: "backup", name: "its archive alone", script: `$SELF -alone $DB -dir $W`, stored: "alone.db.zst", note: "no proof; for comparison only"},
		{group: "backup", name: "sqlite3 .backup, zstd -1", needs: []string{"sqlite3", "zstd"}, note: "no proof",
			script: `sqlite3 $DB ".timeout 60000" "BEGIN" "SELECT count(*) FROM sqlite_schema" ".backup $W/copy.db" >/dev/null && zstd -q -1 -T$N --rm $W/copy.db -o $W/out.zst && sync $W/out.zst $W`, stored: "out.zst"},
		{group: "backup", name: "sqlite3 VACUUM INTO, zstd -1", needs: []string{"sqlite3", "zstd"}, note: "no proof",
			script: `sqlite3 $DB "VACUUM INTO '$W/copy.db'" && zstd -q -1 -T$N --rm $W/copy.db -o $W/out.zst && sync $W/out.zst $W`, stored: "out.zst"},
		{group: "backup", name: "cp, zstd -1", needs: []string{"zstd"}, note: "may be torn by a writer; no proof",
			script: `cp $DB $W/copy.db && zstd -q -1 -T$N --rm $W/copy.db -o $W/out.zst && sync $W/out.zst $W`, stored: "out.zst"},
		{group: "backup", name: "restic backup", needs: []string{"restic"}, note: "may be torn by a writer; no proof",
			before: resticEnv + `restic -q -r $W/r init`, script: resticEnv + `restic -q -r $W/r backup $DB && sync -f $W`, stored: "r"},
		{group: "backup", name: "borg create (zstd,1)", needs: []string{"borg"}, note: "may be torn by a writer; no proof",
			before: borgEnv + `borg init -e none $W/r`, script: borgEnv + `{ borg create -C zstd,1 $W/r::a $DB || test $? = 1; } && sync -f $W`, stored: "r"},
		{group: "backup", name: "litestream replicate -once", needs: []string{"litestream", "sqlite3"}, note: "stored twice; adds tables to the database; no proof",
			script: `litestream replicate -once -log-level error $DB file://$W/r >/dev/null && sync -f $W`, stored: "r",
			after: `sqlite3 $DB 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null; rm -rf "${DB%/*}/.${DB##*/}-litestream"`}, // the pages that it left in use, and its directory next to the database

		{group: "verify", name: "snapd verify", note: "digests, also BLAKE3; the image has passed quick_check", script: `$SNAPD verify --quiet latest --db $DB --dir $K/b`},
		{group: "verify", name: "the same, --level full", note: "also integrity_check", script: `$SNAPD verify --quiet latest --level full --db $DB --dir $K/b`},
		{group: "verify", name: "zstd -t", needs: []string{"sqlite3", "zstd"}, note: "checksums only", script: `zstd -q -t $K/out.zst`},
		{group: "verify", name: "restic check --read-data", needs: []string{"restic"}, note: "digests only", script: resticEnv + `restic -q -r $K/restic check --read-data`},
		{group: "verify", name: "borg check --verify-data", needs: []string{"borg"}, note: "digests only", script: borgEnv + `borg check --verify-data $K/borg`},

		{group: "restore", name: "snapd restore --to", script: `$SNAPD restore --quiet latest --db $DB --dir $K/b --to $W/out.db`},
		{group: "restore", name: "zstd -d", needs: []string{"sqlite3", "zstd"}, note: "checksums only", script: `zstd -q -d $K/out.zst -o $W/out.db && sync $W/out.db $W`},
		{group: "restore", name: "restic restore", needs: []string{"restic"}, note: "", script: resticEnv + `restic -q -r $K/restic restore latest --target $W && sync -f $W`},
		{group: "restore", name: "borg extract", needs: []string{"borg"}, note: "", script: borgEnv + `cd $W && borg extract $K/borg::a && sync -f $W`},
		{group: "restore", name: "litestream restore", needs: []string{"litestream"}, note: "", script: `litestream restore -o $W/out.db file://$K/litestream && sync -f $W`},

		{group: "check", name: "snapd check", script: `$SNAPD check --quiet $DB`},
		{group: "check", name: "the same, --level header", script: `$SNAPD check --quiet --level header $DB`},
		{group: "check", name: "the same, --level probe", script: `$SNAPD check --quiet --level probe $DB`},
		{group: "check", name: "the same, --level full", script: `$SNAPD check --quiet --level full $DB`},
		{group: "check", name: "sqlite3 quick_check", needs: []string{"sqlite3"}, script: `test "$(sqlite3 $DB 'PRAGMA quick_check')" = ok`},
		{group: "check", name: "sqlite3 integrity_check", needs: []string{"sqlite3"}, script: `test "$(sqlite3 $DB 'PRAGMA integrity_check')" = ok`},
	}
}

// jobs are those of the group, or all, whose peers are there.
func (f *field) jobs(group string) (list []*job) {
	for _, j := range allJobs() {
		there := group == "" || j.group == group
		for _, name := range j.needs {
			there = there && f.have[name] != ""
		}
		if there {
			list = append(list, j)
		}
	}
	return list
}

// stock makes what verify and restore work on, with the very scripts of the backups.
func (f *field) stock(ctx context.Context) error {
	keep := filepath.Join(f.o.dir, "keep")
	if err := os.Mkdir(keep, 0o700); err != nil {
		return err
	}
	for _, j := range f.jobs("backup") {
		if strings.HasPrefix(j.name, "sqlite3 VACUUM") || strings.HasPrefix(j.name, "cp") || strings.HasPrefix(j.name, "its") {
			continue
		}
		if err := f.emptied(ctx, j); err != nil {
			return err
		}
		if _, err := f.shell(ctx, j.script); err != nil {
			return fmt.Errorf("%s: %w", j.name, err)
		}
		if _, err := f.shell(ctx, j.after); err != nil {
			return fmt.Errorf("%s: %w", j.name, err)
		}
		to := j.stored
		if to == "r" {
			to, _, _ = strings.Cut(j.name, " ")
		}
		if err := os.Rename(filepath.Join(f.work(), j.stored), filepath.Join(keep, to)); err != nil { // bench has no durable names to keep
			return err
		}
	}
	return nil
}

func (f *field) work() string { return filepath.Join(f.o.dir, "work") }

// emptied makes the job's directory and runs what comes before it.
func (f *field) emptied(ctx context.Context, j *job) error {
	if err := os.RemoveAll(f.work()); err != nil {
		return err
	}
	if err := os.Mkdir(f.work(), 0o700); err != nil {
		return err
	}
	if j.before == "" {
		return nil
	}
	_, err := f.shell(ctx, j.before)
	return err
}

// run measures one run of a job.
func (f *field) run(ctx context.Context, j *job) error {
	if err := f.emptied(ctx, j); err != nil {
		return err
	}
	if err := f.cache(ctx); err != nil {
		return err
	}
	// Or the next one would wait for the writes and removals of the last one, and for memory.
	if _, err := f.shell(ctx, `sync && $SELF -touch `+strconv.FormatInt(2*f.bytes, 10)); err != nil {
		return err
	}
	stop := func() error { return nil }
	if j.group == "backup" {
		var err error
		if stop, err = f.writer(ctx); err != nil {
			return err
		}
	}
	cost, err := f.shell(ctx, j.script)
	if serr := stop(); err == nil {
		err = serr
	}
	if err != nil {
		return err
	}
	if _, err := f.shell(ctx, j.after); err != nil {
		return err
	}
	j.costs = append(j.costs, cost)
	if j.stored != "" {
		n, err := size(filepath.Join(f.work(), j.stored))
		if err != nil {
			return err
		}
		j.bytes = append(j.bytes, n)
	}
	return nil
}

// shell runs a script of a job.
func (f *field) shell(ctx context.Context, script string) (measure.Cost, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + f.o.dir, "TMPDIR=" + f.o.dir, "DB=" + f.db, "W=" + f.work(),
		"K=" + filepath.Join(f.o.dir, "keep"), "SNAPD=" + f.snapd, "SELF=" + f.self, "N=" + strconv.Itoa(runtime.NumCPU())}
	cmd.Env = append(cmd.Env, f.env...)
	together(cmd)
	cost, _, err := measure.Run(cmd)
	return cost, err
}
