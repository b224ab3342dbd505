package remote

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/seal"
)

// Remote is a place off this machine to which a service sends a copy of every verified backup, and of what is captured in between.
type Remote struct {
	Name string // letters, digits and ._-
	// URL says where: file:///mnt/nas/crm is a directory of another disk, s3://bucket/crm object storage, sftp://user@host/crm a
	// directory of a server. Secrets have no place in it.
	URL string
	// Limit is how much is sent, in bytes a second and by the time of day: "512k", or "08:00,512k 19:00,off". Default: no limit.
	Limit string
	// Recipients are age public keys for which copies are encrypted, RecipientsFile has more of them, one on a line. Where
	// both are empty, copies are stored as they are. Where they cannot be used, nothing is sent.
	Recipients     []string
	RecipientsFile string
	// Identity is a file with the secret key that opens encrypted copies. Nothing but a recovery uses it, where nothing in the backup
	// directory is usable. Sending needs none, and a machine without it cannot give it away.
	Identity string
	// Retention of the automatic backups there; the zero value is that of the backup directory.
	Retention catalog.Policy
	// NoDelete leaves removal to the store's own rules.
	NoDelete bool
	// Period is how old what is there may be while there is something newer here; then the data is at risk. Default: 1 h.
	Period time.Duration
}

// Resolve validates remotes and fills in their defaults.
func Resolve(given []Remote, retention catalog.Policy) ([]Remote, error) {
	all := slices.Clone(given)
	names := map[string]bool{}
	for i := range all {
		r := &all[i]
		if err := cmp.Or(CheckRemote(r.Name), CheckURL(r.URL)); err != nil {
			return nil, fmt.Errorf("remote %q: %w", r.Name, err)
		}
		if names[r.Name] {
			return nil, fmt.Errorf("two remotes are called %q", r.Name)
		}
		names[r.Name] = true
		if _, err := store.ParseTimetable(r.Limit); err != nil {
			return nil, fmt.Errorf("remote %s: %w", r.Name, err)
		}
		if r.Period == 0 {
			r.Period = DefaultPeriod
		}
		if r.Period < time.Minute {
			return nil, fmt.Errorf("remote %s: a period of %s is too short to send anything; use at least 1m", r.Name, r.Period)
		}
		if r.Retention == (catalog.Policy{}) {
			r.Retention = retention
		}
	}
	return all, nil
}

// Sealed reports whether copies are to be encrypted.
func (r Remote) Sealed() bool { return len(r.Recipients) > 0 || r.RecipientsFile != "" }

// Keys of a remote are the public keys for which copies are encrypted. Where there are to be some, those are all usable, or it is an error.
func Keys(r Remote) (seal.Recipients, error) {
	keys := slices.Clone(r.Recipients)
	if r.RecipientsFile != "" {
		more, err := seal.ReadRecipients(r.RecipientsFile)
		if err != nil {
			return seal.Recipients{}, err
		}
		keys = append(keys, more.Strings()...)
	}
	return seal.ParseRecipients(keys)
}

// Open opens the store of a remote. id identifies the place since it was used first; scratch is a directory for what is being encrypted.
func Open(ctx context.Context, r Remote, id, scratch string) (p Place, err error) {
	var to seal.Recipients
	if r.Sealed() { // first: nothing is even looked at where it could not be encrypted
		if to, err = Keys(r); err != nil {
			return p, err
		}
	}
	limit, err := store.ParseTimetable(r.Limit)
	if err != nil {
		return p, err
	}
	if p.Store, p.ID, err = OpenStore(ctx, r.URL, id, store.NewLimiter(limit)); err != nil {
		return p, err
	}
	p.count()
	if r.Sealed() {
		p.Sealed, p.Recipients = seal.New(p.Store, to, seal.Identities{}, scratch), to.Strings()
	}
	return p, nil
}
