package httpapi

import (
	"context"
	"net/http"
	"sync"
)

// work is what a handler keeps between requests.
type work struct {
	ops     *operations
	hub     *hub
	status  *statusCache
	plans   *plans
	edits   sync.Mutex    // of entries of the catalog, from looking to changing
	looks   chan struct{} // one for each that looks into an archive
	fetched fetching
	metrics http.Handler
}

// workRoutes is the part of the table that this needs.
func workRoutes() []route {
	var all []route
	for _, part := range [][]route{statusRoutes(), activityRoutes(), backupRoutes(), restoreRoutes(), lookRoutes(),
		checkRoutes(), operationRoutes(), eventRoutes(), metricRoutes()} {
		all = append(all, part...)
	}
	return all
}

// prepare makes ready what requests need, and settles what a crash left.
func (h *Handler) prepare() error {
	base, stop := context.WithCancel(context.Background())
	w := &h.work
	w.status = &statusCache{ask: h.m.Status, now: h.o.now, base: base}
	w.hub = newHub(h.m.Revision, w.status.word)
	w.plans = &plans{}
	w.looks = make(chan struct{}, maxLooks)
	w.ops = newOperations(h.m, newOpstore(h.m.Dir(), h.log), h.log, h.now, w.hub.publish, h.happened)
	h.closers = append(h.closers, w.ops.close, w.hub.close, func(context.Context) error {
		stop()
		return nil
	})
	var err error
	w.metrics, err = h.newMetrics()
	return err
}
