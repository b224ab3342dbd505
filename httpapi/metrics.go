package httpapi

import (
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/points"
	"example.com/snapd/snapshot"
)

func metricRoutes() []route {
	return []route{{method: http.MethodGet, path: "/metrics", root: true, handle: (*Handler).getMetrics}}
}

// getMetrics answers users with the right to view, and everyone where Options say so.
func (h *Handler) getMetrics(w http.ResponseWriter, c *call) error {
	if !h.o.OpenMetrics {
		if err := h.authorize(c, RightView); err != nil {
			return err
		}
	}
	h.metrics.ServeHTTP(w, c.Request)
	return nil
}

// newMetrics has a registry of its own: a host's is the host's.
func (h *Handler) newMetrics() (http.Handler, error) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(&collector{h}); err != nil {
		return nil, err
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelError), ErrorHandling: promhttp.ContinueOnError,
	}), nil
}

func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("snapd_"+name, help, labels, nil)
}

// The metrics. Names and labels are part of the interface: dashboards and alarms
// are made of them.
var (
	descBuild      = metric("build_info", "What runs here; always 1.", "version", "goversion")
	descState      = metric("protection_state", "1 for the present state of the protection, 0 for the others.", "state")
	descBreak      = metric("break", "1 while the live file is not the database that was backed up, until that is accepted or over.")
	descReadable   = metric("readable", "1 if the catalog and the status could be read for this scrape, 0 if parts of it are missing.")
	descAge        = metric("newest_verified_backup_age_seconds", "Time since the newest verified backup was taken or restored: without captures, what would be lost at most. Absent where there is none.")
	descNewest     = metric("newest_verified_backup_timestamp_seconds", "When the newest verified backup was taken or, later, restored.")
	descSuccess    = metric("last_success_timestamp_seconds", "When the last backup of that trigger succeeded.", "trigger")
	descFailure    = metric("last_failure_timestamp_seconds", "When the last backup of that trigger failed.", "trigger")
	descDuration   = metric("last_backup_duration_seconds", "How long the newest backup of that trigger took.", "trigger")
	descBackups    = metric("backups", "Backups that are stored.", "kind", "trigger", "verification")
	descRead       = metric("backups_read_timestamp_seconds", "When the service read a share of the stored backups again last. Absent before that.")
	descArchives   = metric("archives_bytes", "Size of all stored archives.")
	descDatabase   = metric("database_bytes", "Size of the live database's main file.")
	descNext       = metric("next_run_timestamp_seconds", "When the next automatic backup is due. Absent while no schedule runs.")
	descCheckAt    = metric("last_check_timestamp_seconds", "When the live database was last checked.")
	descCheckGood  = metric("last_check_healthy", "1 if the last check of the live database found no damage.")
	descDrillAge   = metric("last_drill_age_seconds", "Age of the last restore drill.")
	descDrillTook  = metric("last_drill_duration_seconds", "How long the last restore drill took.")
	descDrillGood  = metric("last_drill_healthy", "1 if the last restore drill gave a healthy database.")
	descEstimate   = metric("estimated_restore_seconds", "How long it will take to put the newest verified backup back. Absent before the first restore or drill.")
	descRestore    = metric("last_restore_timestamp_seconds", "When the database was last restored.")
	descFree       = metric("free_bytes", "Free space for backups.")
	descCaptures   = metric("captures_total", "Captures of the change log since this program began: followed commit by commit in the write-ahead log, or compared page by page.", "kind")
	descGaps       = metric("gaps_total", "How often commits were missed, and have one recovery point together, since this program began.")
	descPointAt    = metric("points_newest_timestamp_seconds", "When the newest recovery point of the change log was captured. Absent where there is none.")
	descPointBytes = metric("points_bytes", "Size of the change log, by the age of what is in it.", "age")
	descRemoteAt   = metric("remote_newest_timestamp_seconds", "The newest moment that can be restored from the remote. Absent where there is no copy.", "remote")
	descRemoteLag  = metric("remote_lag_seconds", "For how long something newer has waited to be sent to the remote. Absent where there is no copy.", "remote")
	descRemoteLeft = metric("remote_pending_bytes", "Size of what is to be sent to the remote.", "remote")
	descRemoteHas  = metric("remote_backups", "Whole backups at the remote.", "remote")
	descRemoteSize = metric("remote_bytes", "Size of what is at the remote.", "remote")
	descRemoteRot  = metric("remote_damaged", "Objects at the remote that are not what was stored.", "remote")
	descRemoteIs   = metric("remote_state", "1 for the present state of the remote, 0 for the others.", "remote", "state")
	descKept       = metric("quarantines", "Damaged databases that were kept.")
	descKeptBytes  = metric("quarantines_bytes", "Size of the damaged databases that were kept.")
	descRunning    = metric("operations_running", "Operations that run now.", "kind")
	descOperations = metric("operations_total", "Operations that ended since this program began.", "kind", "outcome")
	descNotified   = metric("notifications_total", "Attempts to reach a receiver of notifications, since it is known.", "receiver", "result")
	descNotifiedAt = metric("notify_last_success_timestamp_seconds", "When the receiver of notifications was last reached. Absent before that.", "receiver")
	descClients    = metric("event_clients", "Clients that listen to events.")
)

// collector reads everything at the moment of a scrape.
type collector struct{ h *Handler }

// Describe sends nothing: which series there are depends on what has happened.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := sample{out}
	s.gauge(descBuild, 1, buildVersion(), runtime.Version())
	c.operations(s)
	s.gauge(descClients, float64(c.h.hub.count()))
	if free, err := durable.FreeSpace(c.h.m.Dir()); err == nil {
		s.gauge(descFree, float64(free))
	}
	readable := c.status(s)
	readable = c.catalog(s) && readable
	readable = c.changeLog(s) && readable
	s.gauge(descReadable, flag(readable))
}

// sample sends values of one scrape.
type sample struct{ out chan<- prometheus.Metric }

func (s sample) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sample) counter(d *prometheus.Desc, v float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (c *collector) operations(s sample) {
	running, totals := c.h.ops.counts()
	for kind := range rightOf {
		s.gauge(descRunning, float64(running[string(kind)]), string(kind))
		for _, state := range []string{stateDone, stateFailed, stateCancelled} {
			s.counter(descOperations, float64(totals[outcome{kind, state}]), string(kind), state)
		}
	}
}

func (c *collector) changeLog(s sample) bool {
	n := c.h.captures.counts()
	s.counter(descCaptures, float64(n.followed), "followed")
	s.counter(descCaptures, float64(n.compared), "compared")
	s.counter(descGaps, float64(n.gaps))
	use, err := points.Use(c.h.m.Dir(), c.h.now())
	if err != nil {
		c.h.log.Error("metrics", "error", oneLine(err.Error()))
		return false
	}
	for age, bytes := range map[string]int64{"hour": use.Hour, "day": use.Day, "week": use.Week, "older": use.Older} {
		s.gauge(descPointBytes, float64(bytes), age)
	}
	return true
}

func (c *collector) status(s sample) bool {
	st, err := c.h.status.getNow()
	if err != nil {
		c.h.log.Error("metrics", "error", oneLine(err.Error()))
		return false
	}
	for _, state := range []snapshot.Protection{snapshot.Protected, snapshot.AtRisk, snapshot.Unprotected} {
		s.gauge(descState, flag(st.State == state), string(state))
	}
	s.gauge(descBreak, flag(st.Break != nil))
	if at := st.Continuous.At; at != nil {
		s.gauge(descPointAt, unix(*at))
	}
	s.gauge(descDatabase, float64(st.Database.Bytes))
	remotes(s, st.Remotes)
	var kept int64
	for _, q := range st.Quarantined {
		kept += q.Bytes
	}
	s.gauge(descKept, float64(len(st.Quarantined)))
	s.gauge(descKeptBytes, float64(kept))
	for _, r := range st.Receivers {
		s.counter(descNotified, float64(r.Sent), r.Name, "sent")
		s.counter(descNotified, float64(r.Failed), r.Name, "failed")
		if r.LastSuccess != nil {
			s.gauge(descNotifiedAt, unix(*r.LastSuccess), r.Name)
		}
	}
	if ms := st.EstimatedRestoreMS; ms != nil {
		s.gauge(descEstimate, float64(*ms)/1000)
	}
	if st.NextRun != nil {
		s.gauge(descNext, unix(*st.NextRun))
	}
	return true
}

// remotes has the metrics of the places off this machine.
func remotes(s sample, all []snapshot.RemoteStatus) {
	for _, r := range all {
		for _, state := range []snapshot.RemoteState{snapshot.RemoteCurrent, snapshot.RemoteSending, snapshot.RemoteBehind, snapshot.RemoteFailing, snapshot.RemoteStopped} {
			s.gauge(descRemoteIs, flag(r.State == state), r.Name, string(state))
		}
		if r.NewestAt != nil {
			s.gauge(descRemoteAt, unix(*r.NewestAt), r.Name)
		}
		if r.LagSeconds != nil {
			s.gauge(descRemoteLag, float64(*r.LagSeconds), r.Name)
		}
		s.gauge(descRemoteLeft, float64(r.Pending), r.Name)
		s.gauge(descRemoteHas, float64(r.Backups), r.Name)
		s.gauge(descRemoteSize, float64(r.Bytes), r.Name)
		s.gauge(descRemoteRot, float64(r.Damaged), r.Name)
	}
}

func (c *collector) catalog(s sample) bool {
	state, errState := c.h.m.State()
	all, err := c.h.m.Backups()
	if err != nil || errState != nil {
		c.h.log.Error("metrics: the catalog cannot be read")
		return false
	}
	now := c.h.now()
	for trigger, o := range state.LastSuccess {
		s.gauge(descSuccess, unix(o.At), string(trigger))
	}
	for trigger, o := range state.LastFailure {
		s.gauge(descFailure, unix(o.At), string(trigger))
	}
	if last := state.LastCheck; last != nil {
		s.gauge(descCheckAt, unix(last.At))
		s.gauge(descCheckGood, flag(last.Verdict == string(integrity.Healthy) || last.Verdict == string(integrity.Violations)))
	}
	if last := state.LastDrill; last != nil {
		s.gauge(descDrillAge, now.Sub(last.At).Seconds())
		s.gauge(descDrillTook, float64(last.DurationMS)/1000)
		s.gauge(descDrillGood, flag(last.Verdict == string(integrity.Healthy) || last.Verdict == string(integrity.Violations)))
	}
	if at := state.BackupsRead; at != nil {
		s.gauge(descRead, unix(*at))
	}
	if last := state.LastRestore; last != nil {
		s.gauge(descRestore, unix(last.At))
	}
	if latest, ok := catalog.Latest(slices.Values(all), state); ok {
		since := catalog.Since(latest, state)
		s.gauge(descAge, now.Sub(since).Seconds())
		s.gauge(descNewest, unix(since))
	}
	stored(s, all)
	return true
}

// stored has the metrics of the backups, which come newest first.
func stored(s sample, all []snapshot.Backup) {
	type class struct {
		kind    catalog.Kind
		trigger catalog.Trigger
		state   catalog.VerifyState
	}
	counts := make(map[class]int)
	timed := make(map[catalog.Trigger]bool)
	var bytes int64
	for _, b := range all {
		counts[class{b.Kind, b.Trigger, b.Verification.State}]++
		bytes += b.ArchiveBytes
		if !timed[b.Trigger] {
			timed[b.Trigger] = true
			s.gauge(descDuration, float64(b.DurationMS)/1000, string(b.Trigger))
		}
	}
	s.gauge(descArchives, float64(bytes))
	for c, n := range counts {
		s.gauge(descBackups, float64(n), string(c.kind), string(c.trigger), string(c.state))
	}
}
