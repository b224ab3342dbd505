package httpapi

import (
	"context"
	"net/http"
	"sync"

	"example.com/snapd/snapshot"
)

// services are what the handlers share between requests.
type services struct {
	ops       *operations
	hub       *hub
	status    *statusCache
	points    *pointsCache
	captures  captures
	plans     *plans
	edits     sync.Mutex    // of the catalog's entries, from the comparison to the change
	reading   chan struct{} // the reading slots: one element for each archive that is read
	downloads downloads
	looks     downloads // at rows
	metrics   http.Handler
}

// serviceRoutes is the part of the table that needs the services.
func serviceRoutes() []route {
	var all []route
	for _, part := range [][]route{statusRoutes(), activityRoutes(), backupRoutes(), quarantineRoutes(), remoteRoutes(), restoreRoutes(), rowsBackRoutes(), pointRoutes(), tableRoutes(), rowRoutes(), diffRoutes(), logRoutes(), downloadRoutes(),
		checkRoutes(), operationRoutes(), eventRoutes(), metricRoutes()} {
		all = append(all, part...)
	}
	return all
}

// startServices makes what requests need.
func (h *Handler) startServices() error {
	base, stop := context.WithCancel(context.Background())
	s := &h.services
	s.status = &statusCache{ask: h.m.Status, now: h.o.now, base: base}
	s.hub = newHub(h.m.Revision, s.status.summary)
	s.points = newPointsCache(h.m, h.now)
	s.plans = &plans{}
	s.reading = make(chan struct{}, maxReading)
	s.ops = newOperations(h.m, h.log, h.now, s.hub.publish, h.happened)
	unhear := h.m.Subscribe(func(ev snapshot.Event) { s.captures.hear(ev, s.hub.captured) })
	h.closers = append(h.closers, s.ops.close, s.hub.close, func(context.Context) error {
		unhear()
		stop()
		return nil
	})
	var err error
	s.metrics, err = h.newMetrics()
	return err
}
