package catalog

import (
	"fmt"
	"strings"

	"example.com/snapd/internal/message"
)

// Changes is what bringing the catalog in line with its directory found.
type Changes struct {
	Rebuilt  bool     // the catalog was rebuilt from the archives
	Reason   string   // why, when it was not requested
	SetAside string   // path of the copy of a damaged catalog.json
	Moved    []string // names that others' files, links and the like have now, which were in the place of files of the catalog
	Pinned   []string // ids of backups pinned because the damaged catalog.json no longer showed whether they were

	Added    []Entry   // archives that had no entry; unverified
	Vanished []Entry   // entries dropped because their archive is gone
	Resized  []Entry   // entries whose archive has another size than it should; failed
	Foreign  []Foreign // files that look like archives and are none of ours; left alone
	Swept    []string  // leftovers of crashed runs that were removed

	// Exposed says how others could meddle with the backups, "" when they could not.
	Exposed string

	// NoLink says why the link to the latest backup cannot be made, where that is news.
	NoLink error

	// Unsaved says why the outcome is in memory only, nil when it is stored.
	Unsaved error
}

// Foreign is a file that ends like an archive but is not listed, or the directory of the change logs where that cannot be read.
type Foreign struct {
	File string // name in the backup directory
	Err  error  // ErrForeign, one of package archive, or of the file system
}

// Empty reports whether there are no changes.
func (ch Changes) Empty() bool { return len(ch.Lines()) == 0 }

// Lines returns the changes, one sentence each, for a log.
func (ch Changes) Lines() []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, message.OneLine(fmt.Sprintf(format, args...))) }
	if ch.Rebuilt {
		say("catalog rebuilt from %d archives, all unverified now", len(ch.Added))
		if ch.Reason != "" {
			say("the catalog was rebuilt because: %s", ch.Reason)
		}
	}
	if ch.SetAside != "" {
		say("damaged catalog kept as %s; notes that were no longer readable in it are lost", ch.SetAside)
	}
	for _, name := range ch.Moved {
		say("what is none of this program's plain files was in the place of a file of the catalog; it is now %s", name)
	}
	if len(ch.Pinned) > 0 {
		say("pinned, as the damaged catalog no longer shows whether they were; unpin those that need not be kept: %s", strings.Join(ch.Pinned, ", "))
	}
	for _, e := range ch.Added {
		switch {
		case e.Adopted && !e.Accepted():
			say("archive %s was made in another backup directory: it is listed as the oldest backup, and counts once it is verified and pinned", e.File)
		case !ch.Rebuilt:
			say("found archive %s, which was not in the catalog; it is unverified", e.File)
		}
	}
	for _, e := range ch.Vanished {
		say("archive %s of a backup (%s) is gone; its entry was dropped", e.File, e.Verification.State)
	}
	for _, e := range ch.Resized {
		say("backup %s: %s", e.ID, e.Verification.Detail)
	}
	for _, f := range ch.Foreign {
		say("ignoring %q in the backup directory: %v", f.File, f.Err)
	}
	for _, name := range ch.Swept {
		say("removed leftover %s", name)
	}
	if ch.Exposed != "" {
		say("%s", ch.Exposed)
	}
	if ch.NoLink != nil {
		say("the link to the latest backup (data_latest.db.zst) cannot be made here; everything else works without it: %v", ch.NoLink)
	}
	if ch.Unsaved != nil {
		say("changes to the catalog could not be stored: %v", ch.Unsaved)
	}
	return out
}

// Add adds what another look found.
func (ch *Changes) Add(o Changes) {
	ch.Rebuilt = ch.Rebuilt || o.Rebuilt
	if o.Reason != "" {
		ch.Reason = o.Reason
	}
	if o.SetAside != "" {
		ch.SetAside = o.SetAside
	}
	ch.Moved = append(ch.Moved, o.Moved...)
	ch.Pinned = append(ch.Pinned, o.Pinned...)
	ch.Added = append(ch.Added, o.Added...)
	ch.Vanished = append(ch.Vanished, o.Vanished...)
	ch.Resized = append(ch.Resized, o.Resized...)
	ch.Swept = append(ch.Swept, o.Swept...)
	for _, f := range o.Foreign {
		ch.addForeign(f)
	}
	if o.Exposed != "" {
		ch.Exposed = o.Exposed
	}
	if o.NoLink != nil {
		ch.NoLink = o.NoLink
	}
	if o.Unsaved != nil {
		ch.Unsaved = o.Unsaved
	}
}

func (ch *Changes) addForeign(f Foreign) {
	for i := range ch.Foreign {
		if ch.Foreign[i].File == f.File {
			ch.Foreign[i] = f
			return
		}
	}
	ch.Foreign = append(ch.Foreign, f)
}
