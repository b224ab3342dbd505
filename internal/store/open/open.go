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
	// Retrying hears of each failure of a request that is made again, and when.
	Retrying func(err error, wait time.Duration)
	// Limit is for what is sent; nil for none.
	Limit *store.Limiter
}

// Store opens file:///directory, s3://bucket/prefix or sftp://user@host/directory. No error shows the URL, which may hold a password.
func Store(ctx context.Context, raw string, options Options) (store.Store, error) {
	scheme, _, _ := strings.Cut(raw, ":")
	switch scheme {
	case "file":
		path, err := filePath(raw)
		if err != nil {
			return nil, err
		}
		return dir.Open(ctx, path, dir.Options{ID: options.ID, Limit: options.Limit})
	case "s3":
		place, err := s3.Parse(raw)
		if err != nil {
			return nil, err
		}
		return s3.Open(place, s3.Options{Env: options.Env, Retrying: options.Retrying, Limit: options.Limit})
	case "sftp":
		place, err := sftp.Parse(raw)
		if err != nil {
			return nil, err
		}
		return sftp.Open(ctx, place, sftp.Options{ID: options.ID, Env: options.Env, Retrying: options.Retrying, Limit: options.Limit})
	}
	return nil, errors.New("the URL of a remote begins with file:///, s3:// or sftp://")
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
