package remote

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"example.com/snapd/internal/message"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/dir"
)

// CheckURL reports what is wrong with the URL of a remote, or nil. The error never shows a secret.
func CheckURL(raw string) error {
	_, err := parseURL(raw)
	return err
}

// ways are the schemes that there are stores for.
const ways = "file:///mnt/nas/crm"

func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil { // its message has the URL
		return nil, message.WithHint(fmt.Errorf("the URL of a remote cannot be read"), "for example "+ways)
	}
	if _, secret := u.User.Password(); secret {
		return nil, message.WithHint(fmt.Errorf("the URL of remote %s has a password in it", u.Host), "secrets come from the environment or from files, see docs/remotes.md")
	}
	for key := range u.Query() {
		if k := strings.ToLower(key); strings.Contains(k, "secret") || strings.Contains(k, "password") || strings.Contains(k, "token") || strings.Contains(k, "key") && !strings.HasSuffix(k, "_file") {
			return nil, message.WithHint(fmt.Errorf("the URL of a remote has a secret in it: %s", key), "secrets come from the environment or from files, see docs/remotes.md")
		}
	}
	switch {
	case u.Scheme == "file" && (u.Host != "" && u.Host != "localhost" || !filepath.IsAbs(u.Path)):
		return nil, message.WithHint(fmt.Errorf("the URL %s does not have the whole path of a directory", u.Redacted()), "for example "+ways)
	case u.Scheme == "file":
		return u, nil
	}
	return nil, message.WithHint(fmt.Errorf("there is no store for URLs that begin with %.20q", u.Scheme), "for example "+ways)
}

// Where is the URL for people.
func Where(raw string) string {
	u, err := parseURL(raw)
	if err != nil {
		return "a place whose URL cannot be read"
	}
	return u.Redacted()
}

// OpenStore opens the store at a URL. id is what identifies the place since it was used first, where the store has such a
// thing; "" before that. now is what to remember of it.
func OpenStore(ctx context.Context, raw, id string) (s store.Store, now string, err error) {
	u, err := parseURL(raw)
	if err != nil {
		return nil, "", err
	}
	d, err := dir.Open(ctx, filepath.FromSlash(u.Path), dir.Options{ID: id})
	if err != nil {
		return nil, "", err
	}
	return d, d.ID(), nil
}
