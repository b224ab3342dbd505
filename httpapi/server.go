package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// limits are how long a client may take, and how much it may send before its
// request is looked at.
type limits struct {
	header, read, write, idle time.Duration
	stream                    time.Duration // for each write of a stream
	shutdown                  time.Duration // for requests that run when the server ends
	headerBytes               int
}

var defaultLimits = limits{
	header: 10 * time.Second, read: 30 * time.Second, write: time.Minute, idle: 2 * time.Minute,
	stream: 30 * time.Second, shutdown: 20 * time.Second, headerBytes: 32 << 10,
}

// Serve answers the requests that come to l, which it closes. When ctx ends, it
// takes no more requests, ends streams and operations as [Handler.Close] does,
// lets the other requests finish, and returns nil. What takes longer than 20
// seconds is cut off and is an error; an operation past its point of no return
// goes on, and a further Close waits for it.
func (h *Handler) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: h.limits.header,
		ReadTimeout:       h.limits.read,
		WriteTimeout:      h.limits.write,
		IdleTimeout:       h.limits.idle,
		MaxHeaderBytes:    h.limits.headerBytes,
		ConnContext:       keepConn,
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve http on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	// The requests that run are finished for their clients' sake, whose contexts are their own.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.limits.shutdown)
	defer cancel()
	err := h.Close(closing)
	final, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.limits.shutdown)
	defer cancel()
	if serr := srv.Shutdown(final); serr != nil {
		err = errors.Join(err, fmt.Errorf("finish requests: %w", serr), srv.Close())
	}
	if serr := <-ended; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	if err != nil {
		return fmt.Errorf("end http on %s: %w", l.Addr(), err)
	}
	return nil
}
