package catalogfile

import (
	"encoding/json"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/lineage"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/swap"
)

// Origin is what an entry keeps of the live database it was taken from.
type Origin struct {
	livedb.Fingerprint
	// Log is how far into the log the backup reaches; nil without one.
	Log *sqlite.LogPosition `json:"log,omitempty"`
	// Access is who could use the file, for the day when it is missing; nil where that is not known.
	Access *swap.Access `json:"access,omitempty"`
	// Contents is what the database is recognised by; an archive has it, too.
	Contents lineage.Facts `json:"contents"`
}

// OriginOf returns what e keeps of its origin, the zero value where it keeps nothing.
func OriginOf(e catalog.Entry) (o Origin) {
	if json.Unmarshal(e.Source, &o) != nil {
		return Origin{}
	}
	return o
}
