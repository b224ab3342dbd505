// Package httpapi shows a [snapshot.Manager] over HTTP: an API for programs, a
// page for administrators, health and metrics.
//
// [New] returns an http.Handler to mount in any server, at any prefix, with the
// host's own authorisation or with a token of its own. It reaches the database
// and its backups through the Manager only.
//
// A request passes, in this order: recovery from panics, headers that every
// answer has, the refusal of other servers' names, the router, the refusal of cross-origin changes, authorisation,
// the right that the route asks for, the limit of its body. Every error leaves as
// application/problem+json with a stable code; see problem.go.
//
// A long task is an operation: the request that begins it is answered 202,
// the outcome is sent as a server-sent event and kept across restarts; see
// operations.go.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"example.com/snapd/httpapi/auth"
	"example.com/snapd/snapshot"
)

// Right is what a principal may do.
type Right = auth.Right

// The rights. Each route requires one of them.
const (
	RightView      = auth.View      // see everything but the data itself
	RightCreate    = auth.Create    // make backups
	RightVerify    = auth.Verify    // verify, drill, check
	RightRestore   = auth.Restore   // replace the database by a backup
	RightDelete    = auth.Delete    // delete backups
	RightDownload  = auth.Download  // fetch archives, where Options.AllowDownload
	RightConfigure = auth.Configure // change notes and pins
	RightRead      = auth.Read      // see rows of the data
	RightQuery     = auth.Query     // ask with SQL, where Options.AllowQuery
)

// AllRights returns the rights of the token's holder.
func AllRights() []Right { return auth.AllRights() }

// Principal is who makes a request, and its rights.
type Principal = auth.Principal

// ErrUnauthorized is what Options.Authorize returns, wrapped or not, for a request of an
// unknown user. It is answered 401.
var ErrUnauthorized = auth.ErrUnauthorized

// Defaults of [Options].
const (
	DefaultAPIPrefix  = "/api/v1"
	DefaultPagePrefix = "/web/admin/backups/"
	DefaultTokenFile  = "token" // in the backup directory
)

// Options say how a Manager is shown. Zero values are the defaults.
type Options struct {
	// APIPrefix and PagePrefix are the paths below which the API and the page
	// are, as the handler sees them. Health and metrics are at the root.
	APIPrefix, PagePrefix string
	// Authorize is the host's: it returns the user of a request and the user's rights.
	// [ErrUnauthorized] is answered 401, any other error 500. It is called
	// concurrently, and every few seconds again for a client that listens to
	// events: the stream of an ended session ends. Principal.Name is what the activity
	// log says of who did something. Nil: the built-in token, with a login on the page.
	Authorize func(*http.Request) (Principal, error)
	// TokenFile holds the built-in token, one line, mode 0600; made when absent.
	TokenFile string
	// AllowDownload lets those with RightDownload fetch archives.
	AllowDownload bool
	// AllowQuery lets those with RightQuery ask a backup with SQL that only reads.
	AllowQuery bool
	// OpenMetrics answers /metrics without asking who wants to know.
	OpenMetrics bool
	// TrustedProxies are the addresses whose X-Forwarded-For and
	// X-Forwarded-Proto are believed.
	TrustedProxies []netip.Prefix
	// HostNames are the names by which browsers ask for this server, without port, next to
	// localhost and the address that it listens on; [AnyHost] is every name. A request that
	// names another is answered 421: the page of another site may have made its name
	// point here. With Authorize and without HostNames all are answered.
	HostNames []string
	// Logger gets a line for every failure; nil is silent.
	Logger *slog.Logger

	now func() time.Time // tests
}

func (o *Options) resolve(m manager) error {
	if o.APIPrefix == "" {
		o.APIPrefix = DefaultAPIPrefix
	}
	if o.PagePrefix == "" {
		o.PagePrefix = DefaultPagePrefix
	}
	if !strings.HasSuffix(o.PagePrefix, "/") {
		o.PagePrefix += "/"
	}
	for _, p := range []string{o.APIPrefix, o.PagePrefix} {
		clean := path.Clean(p) == p || path.Clean(p)+"/" == p
		if !clean || !strings.HasPrefix(p, "/") || strings.ContainsAny(p, ":*?#%\\ ") {
			return fmt.Errorf("prefix %q: want a clean path that begins with a slash, without any of : * ? # %% \\ and spaces", p)
		}
	}
	o.APIPrefix = strings.TrimSuffix(o.APIPrefix, "/")
	if o.TokenFile == "" {
		o.TokenFile = filepath.Join(m.Dir(), DefaultTokenFile)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = time.Now
	}
	return nil
}

// Handler is the http.Handler over one Manager. Its methods are safe for
// concurrent use.
type Handler struct {
	m    manager
	o    Options
	log  *slog.Logger
	root http.Handler // the whole chain

	page        *page
	openapi     pageFile
	auth        *auth.Auth
	hosts       hosts
	crossOrigin http.CrossOriginProtection
	refusals    recorder // of tokens
	denials     recorder // of rights
	notBegun    recorders
	closing     atomic.Bool
	limits      limits

	services

	closers []func(context.Context) error // in the order of closing
}

// New returns the handler for m. With the built-in token it makes the token
// file when that is absent. It starts goroutines that [Handler.Close] ends.
func New(m *snapshot.Manager, o Options) (*Handler, error) {
	h, err := newHandler(m, o)
	if err != nil {
		return nil, fmt.Errorf("http api: %w", err)
	}
	return h, nil
}

func newHandler(m manager, o Options) (*Handler, error) {
	if err := o.resolve(m); err != nil {
		return nil, err
	}
	h := &Handler{m: m, o: o, log: o.Logger, limits: defaultLimits}
	var err error
	if h.hosts, err = newHosts(o); err != nil {
		return nil, err
	}
	h.auth, err = auth.New(auth.Options{Host: o.Authorize, Dir: m.Dir(), TokenFile: o.TokenFile,
		TrustedProxies: o.TrustedProxies, Logger: o.Logger, Now: h.now})
	if err != nil {
		return nil, err
	}
	files, err := fs.Sub(static, "static")
	if err != nil {
		return nil, err
	}
	if h.page, err = newPage(files, o.PagePrefix, strings.TrimSuffix(relative(o.PagePrefix, o.APIPrefix), "/")); err != nil {
		return nil, err
	}
	if h.openapi, err = describe(o.APIPrefix, h.auth.CookieName()); err != nil {
		return nil, err
	}
	if err := h.startServices(); err != nil {
		return nil, err
	}
	h.root = h.chain(h.router(routes()))
	return h, nil
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.root.ServeHTTP(w, r) }

// Close ends streams and operations: what has not passed its point of no return
// is cancelled, the rest is waited for until ctx ends. Requests that come later
// are answered 503.
//
// It may be called again, with more time.
func (h *Handler) Close(ctx context.Context) error {
	h.closing.Store(true)
	var err error
	for _, c := range h.closers {
		err = errors.Join(err, c(ctx))
	}
	return err
}

func (h *Handler) now() time.Time { return h.o.now().UTC() }
