// Package open opens the store that a URL names.
package open

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/dir"
	"example.com/snapd/internal/store/s3"
	"example.com/snapd/internal/store/sftp"
)

// Options are what a URL does not say.
type Options struct {
	// Env looks up variables with credentials, such as AWS_ACCESS_KEY_ID; nil is the process's environment.
	Env func(name string) string
	// ID is what [ID] returned when the place was used before; "" for one that never was.
	ID string
	// ReadOnly: nothing is written there, not even what would mark the place.
	ReadOnly bool
	// Retrying hears of each failure of a request that is made again, and when.
	Retrying func(err error, wait time.Duration)
	// Patience is how long that is done without a success; 0 is a minute.
	Patience time.Duration
	// Limit is for what is sent; nil for none.
	Limit *store.Limiter
}

// patience is how long requests that fail are made again, where Options say nothing: longer than a server takes to start, and
// short enough for a failure to be reported while it lasts.
const patience = time.Minute

// opener opens the store that a URL was read as.
type opener func(ctx context.Context, options Options) (store.Store, error)

// parse reads file:///directory, s3://bucket/prefix or sftp://user@host/directory. No error shows the URL, which may hold a password.
func parse(raw string) (place fmt.Stringer, open opener, err error) {
	scheme, _, _ := strings.Cut(raw, ":")
	switch scheme {
	case "file":
		path, err := filePath(raw)
		return dirURL(path), func(ctx context.Context, o Options) (store.Store, error) {
			return dir.Open(ctx, path, dir.Options{ID: o.ID, ReadOnly: o.ReadOnly, Limit: o.Limit})
		}, err
	case "s3":
		place, err := s3.Parse(raw)
		return place, func(_ context.Context, o Options) (store.Store, error) {
			return s3.Open(place, s3.Options{Env: o.Env, Retrying: o.Retrying, Patience: o.Patience, Limit: o.Limit})
		}, err
	case "sftp":
		place, err := sftp.Parse(raw)
		return place, func(ctx context.Context, o Options) (store.Store, error) {
			return sftp.Open(ctx, place, sftp.Options{ID: o.ID, ReadOnly: o.ReadOnly, Env: o.Env, Retrying: o.Retrying, Patience: o.Patience, Limit: o.Limit})
		}, err
	}
	return nil, nil, errors.New("the URL of a remote begins with file:///, s3:// or sftp://")
}

// Check reports what is wrong with a URL, or nil, and returns it as it can be shown.
func Check(raw string) (shown string, err error) {
	place, _, err := parse(raw)
	if err != nil {
		return "", err
	}
	return place.String(), nil
}

// Store opens the store at a URL.
func Store(ctx context.Context, raw string, options Options) (store.Store, error) {
	_, open, err := parse(raw)
	if err != nil {
		return nil, err
	}
	if options.Patience == 0 {
		options.Patience = patience
	}
	return open(ctx, options)
}

// ID returns the id of the place that s has made or found there, to be given to Store the next time; "" for a store whose
// place cannot be another one by accident.
func ID(s store.Store) string {
	if with, ok := s.(interface{ ID() string }); ok {
		return with.ID()
	}
	return ""
}

// filePath is the directory of a file URL.
func filePath(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.Host != "" && u.Host != "localhost" || u.RawQuery != "" || u.Fragment != "" || u.Path == "" {
		return "", errors.New("the URL of a directory has the form file:///path")
	}
	path := filepath.FromSlash(u.Path)
	if runtime.GOOS == "windows" {
		path = strings.TrimPrefix(path, `\`)
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%s is not an absolute path", path)
	}
	return path, nil
}

// dirURL is a directory that is shown as a URL.
type dirURL string

func (d dirURL) String() string { return dir.URL(string(d)) }
