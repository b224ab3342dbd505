package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/notify"
	"example.com/snapd/internal/recovery"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/schedule"
)

// Defaults of [Config].
const (
	DefaultInterval        = 12 * time.Hour
	DefaultKeep            = catalog.DefaultLast
	DefaultKeepDaily       = catalog.DefaultDaily
	DefaultKeepReplaced    = catalog.DefaultReplaced
	DefaultLockWait        = 30 * time.Second
	DefaultMinSpacing      = time.Minute
	DefaultCheckEvery      = time.Hour
	DefaultShutdownTimeout = 10 * time.Minute
)

// OnMissing says what Recover does when the database file is missing or has
// zero bytes while usable backups exist.
type OnMissing = recovery.OnMissing

const (
	MissingRestore = recovery.MissingRestore // put the newest usable backup there; the default
	MissingFail    = recovery.MissingFail    // return ErrMissing, touch nothing
	MissingIgnore  = recovery.MissingIgnore  // do nothing: the application will create it
)

// Config says what to protect and how. Zero values are the defaults.
type Config struct {
	// Database is the path of the SQLite file. Required. It need not exist yet.
	Database string
	// Dir is the backup directory; default "backups" next to the database.
	// Made with mode 0700 at the first backup.
	Dir string
	// AnyOwner lets root work where another user could exchange the database or the
	// backups for other files, since a directory or a link on their paths is the user's. Else
	// that is ErrRefused. For users who are not root it means nothing.
	AnyOwner bool

	// Interval between automatic backups; default 12 h, negative for none.
	Interval time.Duration
	// Cron, five fields in the process's time zone, replaces Interval.
	Cron string
	// Jitter delays each scheduled backup by a random time up to this much.
	Jitter time.Duration
	// OnChange makes a backup once the database has been quiet for this long
	// after a change; 0 is off. MinSpacing (default 1 min) is the least time
	// between two of them, so that a busy database is backed up steadily.
	OnChange   time.Duration
	MinSpacing time.Duration
	// CheckEvery is how often Run makes a quick check of a database that changed, at least
	// a hundred times as long as one takes; default 1 h, negative for never. In the rollback-journal
	// modes, where writers wait for it, only a database of up to 64 MiB is checked so.
	CheckEvery time.Duration
	// Retention of automatic backups; the zero value keeps the last 10, and one of each of the last 7 days.
	Retention Policy
	// KeepReplaced is how long the automatic backups from before a break (see [Break]) or a restore are counted by
	// themselves, so that those since push none of them out; default 30 days, negative for not at all.
	// AcceptBreak ends that for a break.
	KeepReplaced time.Duration
	// FollowService has the retention of the last Run on the backup directory, where
	// there was one, replace Retention: for a command that runs next to a service which
	// was configured elsewhere, and must not undo what that one keeps.
	FollowService bool
	// Continuous is how Run captures what is committed between backups, in the change log: 0, the default, looks each second
	// while there are commits, and in the rollback-journal modes as often as keeps writers waiting for less than 2 % of the time. Else
	// it is the time between looks; negative is off.
	Continuous time.Duration
	// KeepPoints says which recovery points of the change log stay; default [catalog.DefaultPointTiers]. None stays longer
	// than a backup that it builds on.
	KeepPoints PointTiers
	// PointsMaxBytes is the most that the change log takes; points are removed before their time for that. Default: no limit.
	PointsMaxBytes int64
	// Notify are those that Run notifies when the protection stops, and when it is back.
	Notify []Receiver
	// Remotes are places off this machine to which Run sends a copy of every verified backup and of what is captured.
	Remotes []Remote
	// OnMissing: default MissingRestore.
	OnMissing OnMissing

	// RecoverLevel is how deeply Recover checks the database: LevelQuick, the default, or
	// LevelFull. It does so in full by itself where the last full check found damage, or rules
	// of the application are broken that were not when the newest backup was proven.
	RecoverLevel Level

	// Compression is "fastest" (default), "default", "better" or "best".
	Compression string
	// Workers compress and decompress in parallel; default GOMAXPROCS for
	// operations that a caller waits for, and one less, at least 1, for automatic
	// backups, which leaves the host a core.
	Workers int
	// LockWait bounds how long an operation waits for SQLite's locks and for
	// another operation on the same directory; default 30 s.
	LockWait time.Duration
	// ShutdownTimeout bounds the final backup of Run; default 10 min.
	ShutdownTimeout time.Duration

	// AssumeUnused has a restore or recovery replace the database's file also where the
	// system does not say whether a process has it open: a person has made sure that
	// none has. Without it, that is [ErrRefused].
	AssumeUnused bool

	// Now is the clock; default time.Now.
	Now func() time.Time

	// Logger gets one line per event; nil is silent.
	Logger *slog.Logger
	// OnEvent is called, one event at a time, with everything that happens.
	// It must not call back into the Manager and should return quickly.
	OnEvent func(Event)
	// BeforeSwap and AfterSwap let a host close and reopen its pool around a
	// restore that replaces the file. AfterSwap runs whenever BeforeSwap
	// succeeded, also when the restore failed.
	BeforeSwap func(context.Context) error
	AfterSwap  func(context.Context) error

	named string // Database as it was given, with its links; absolute
}

// resolve validates and fills in the defaults.
func (c *Config) resolve() error {
	if c.Database == "" {
		return fmt.Errorf("open: Config.Database is empty: name the SQLite file to protect")
	}
	if err := livedb.ForeignSQLite(); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	path, err := livedb.Resolve(c.Database)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if c.named, err = filepath.Abs(c.Database); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	given := c.Database
	c.Database = path
	if c.Dir == "" {
		c.Dir = filepath.Join(filepath.Dir(path), "backups")
	}
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return fmt.Errorf("open: backup directory: %w", err)
	}
	switch st, err := os.Stat(c.Dir); {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return hint(fmt.Errorf("open: backup directory: %w", err), "choose another directory with --dir")
	case err == nil && !st.IsDir():
		return hint(fmt.Errorf("open: backup directory %s is a file", c.Dir), "choose a directory with --dir")
	}
	if err := c.checkFile(); err != nil {
		return err
	}
	if err := c.checkStrangers(given); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := c.resolveService(); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if c.OnMissing == "" {
		c.OnMissing = MissingRestore
	}
	switch c.OnMissing {
	case MissingRestore, MissingFail, MissingIgnore:
	default:
		return fmt.Errorf("open: on-missing %q: want restore, fail or ignore", c.OnMissing)
	}
	c.RecoverLevel = max(c.RecoverLevel, LevelQuick)
	c.durations()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if _, ok := compressions[c.Compression]; !ok {
		return fmt.Errorf("open: compression %q: want fastest, default, better or best", c.Compression)
	}
	return nil
}

// checkFile refuses a path that names no file. Where backups of it are stored there was one: then
// it is a break, which Status reports.
func (c *Config) checkFile() error {
	st, err := os.Stat(c.Database)
	if err != nil || st.Mode().IsRegular() {
		return nil // a missing one has other ways
	}
	if cat, err := catalogfile.Open(c.Dir, c.base()); err == nil {
		all, state, err := cat.Read()
		if err == nil && len(all) > 0 && state.Database == catalogfile.OwnerName(c.Dir, c.Database) {
			return nil
		}
	}
	what := "no regular file"
	if st.IsDir() {
		what = "a directory"
	}
	return hint(fmt.Errorf("open: %s is %s", c.Database, what), "name the SQLite file itself, for example data.db")
}

// resolveService validates what Run goes by, and what Reload takes.
func (c *Config) resolveService() (err error) {
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	if c.MinSpacing <= 0 {
		c.MinSpacing = DefaultMinSpacing
	}
	if c.CheckEvery == 0 {
		c.CheckEvery = DefaultCheckEvery
	}
	if c.Interval > 0 && c.Interval < time.Second {
		return hint(fmt.Errorf("an interval of %s would only push good backups out", c.Interval), "use at least 1s, for example 12h")
	}
	if c.Cron != "" && !schedule.ValidCron(c.Cron) {
		return hint(fmt.Errorf("%q is not a cron expression", c.Cron), "use five fields, for example \"0 */6 * * *\"")
	}
	if c.Notify, err = notify.Named(c.Notify); err != nil {
		return err
	}
	if c.Remotes, err = remote.Resolve(c.Remotes, c.Retention); err != nil {
		return hint(err, "docs/remotes.md describes what a remote can be")
	}
	return c.resolveContinuous()
}

var compressions = map[string]archive.Level{
	"": archive.Fastest, "fastest": archive.Fastest, "default": archive.Default, "better": archive.Better, "best": archive.Best,
}

func (c *Config) durations() {
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&c.LockWait, DefaultLockWait}, {&c.ShutdownTimeout, DefaultShutdownTimeout}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
}

// base is the database's file name without its extension: data.db -> data.
func (c *Config) base() string {
	name := filepath.Base(c.Database)
	if stem := strings.TrimSuffix(name, filepath.Ext(name)); stem != "" {
		return stem
	}
	return name
}

// backupWorkers is the number of goroutines that compress and read back a backup:
// automatic ones leave a core to the host.
func (c *Config) backupWorkers(req Request) int {
	if c.Workers > 0 || req.Kind != catalog.Auto || req.Trigger == catalog.TriggerPreRestore {
		return c.workers()
	}
	return max(1, runtime.GOMAXPROCS(0)-1)
}

// workers is the number of goroutines for an operation whose end a person awaits.
func (c *Config) workers() int {
	if c.Workers > 0 {
		return c.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// schedule says when automatic backups are made.
func (c *Config) schedule() Schedule { return schedule.New(c.Interval, c.Cron) }

// promised is the schedule of the Run that is at work, or was killed, else the configured one.
func (c *Config) promised(state catalog.State) Schedule {
	if state.Schedule != nil {
		return *state.Schedule
	}
	return c.schedule()
}

// nextRuns is when that schedule makes backups after now, one after the other.
func (c *Config) nextRuns(state catalog.State, now time.Time) func(after time.Time) time.Time {
	promised, first := c.promised(state), time.Time{}
	if state.Schedule != nil && state.NextRun != nil {
		first = promised.Roll(*state.NextRun, now)
	}
	return promised.From(first)
}

// timing is what the timer of Run goes by.
func (c *Config) timing() schedule.Options {
	o := schedule.Options{Schedule: c.schedule(), OnChange: c.OnChange, MinSpacing: c.MinSpacing}
	if c.Jitter > 0 {
		o.Jitter = func() time.Duration { return rand.N(c.Jitter) }
	}
	return o
}

// promise says for people when Run makes backups.
func (c *Config) promise() string {
	when := c.schedule().Describe()
	if c.OnChange > 0 {
		when += ", and after changes"
	}
	return when
}

// keepReplaced is KeepReplaced as the state has it, in seconds.
func (c *Config) keepReplaced() int64 {
	if c.KeepReplaced < 0 {
		return -1
	}
	return int64(c.KeepReplaced / time.Second)
}

// policy is the given one, or the one that holds where none is.
func (c *Config) policy(cat *catalogfile.Catalog, given *Policy) (Policy, error) {
	if given != nil {
		return *given, nil
	}
	if !c.FollowService {
		return c.Retention, nil
	}
	state, err := cat.State()
	if err != nil || state.Retention == nil {
		return c.Retention, err
	}
	return *state.Retention, nil
}

// lockWait is how long the operation of ctx may now wait for a lock.
func (c *Config) lockWait(ctx context.Context) time.Duration {
	if until, ok := ctx.Value(patienceKey{}).(time.Time); ok {
		return min(c.LockWait, max(time.Until(until), time.Millisecond))
	}
	return c.LockWait
}

// statusPatience is how long Status waits for another program's lock.
const statusPatience = 2 * time.Second
