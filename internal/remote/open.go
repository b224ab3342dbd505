package remote

import (
	"context"

	"example.com/snapd/internal/message"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/open"
)

// CheckURL reports what is wrong with the URL of a remote, or nil. The error never shows a secret.
func CheckURL(raw string) error {
	_, err := open.Check(raw)
	if err != nil {
		return message.WithHint(err, "docs/remotes.md has the URL of each kind of store")
	}
	return nil
}

// Where is the URL for people.
func Where(raw string) string {
	shown, err := open.Check(raw)
	if err != nil {
		return "a place whose URL cannot be read"
	}
	return shown
}

// OpenStore opens the store at a URL. id is what identifies the place since it was used first, where the store has such a
// thing; "" before that. now is what to remember of it. limit is for what is sent; nil for none.
func OpenStore(ctx context.Context, raw, id string, limit *store.Limiter) (s store.Store, now string, err error) {
	if err := CheckURL(raw); err != nil {
		return nil, "", err
	}
	if s, err = open.Store(ctx, raw, open.Options{ID: id, Limit: limit}); err != nil {
		return nil, "", err
	}
	return s, open.ID(s), nil
}

// ReadStore opens the store at a URL for reading: nothing is written there. id is as OpenStore has it.
func ReadStore(ctx context.Context, raw, id string) (store.Store, error) {
	if err := CheckURL(raw); err != nil {
		return nil, err
	}
	return open.Store(ctx, raw, open.Options{ID: id, ReadOnly: true})
}
