package httpapi

import (
	"net/http"
	"time"

	"example.com/snapd/snapshot"
)

// maxRuns is the most runs of one answer.
const maxRuns = 1000

// pointRun is a run of recovery points of the change log that no backup interrupts.
type pointRun struct {
	After   *string   `json:"after"`  // the backup that the run follows; null where there is none
	Before  *string   `json:"before"` // the backup that follows the run
	From    time.Time `json:"from"`   // of the first point
	To      time.Time `json:"to"`     // of the last point
	Points  int       `json:"points"`
	Commits int64     `json:"commits"` // as far as they were counted
}

type runPage struct {
	Runs []pointRun `json:"runs"` // the newest first
}

// runsOf joins points, which come newest first, to the runs that have a point in a span of time.
func runsOf(points []snapshot.Point, from, to time.Time) []pointRun {
	runs := []pointRun{}
	run := pointRun{}
	end := func(after *string) (more bool) {
		run.After = after
		if run.Points > 0 && !run.To.Before(from) && (to.IsZero() || !run.From.After(to)) {
			runs = append(runs, run)
		}
		run = pointRun{Before: after}
		return len(runs) < maxRuns
	}
	for i := range points {
		p := &points[i]
		if p.Backup != nil {
			if !end(p.Backup) {
				return runs
			}
			continue
		}
		if run.Points == 0 {
			run.To = p.At
		}
		run.From = p.At
		run.Points++
		run.Commits += p.Commits
	}
	end(nil)
	return runs
}

func (h *Handler) getRuns(w http.ResponseWriter, c *call) error {
	from, to, err := span(c.query)
	if err != nil {
		return err
	}
	all, err := h.points.get(c.Context(), time.Time{})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, runPage{runsOf(all, from, to)})
}
