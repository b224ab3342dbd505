package lint

import (
	"strings"
	"testing"
)

// floors are those of docs/architecture.md. A package imports only packages of lower
// floors, and of its own room: a door that is used upward is how a design dies. The
// packages that only "internal" covers share a room.
var floors = []struct {
	room  string // this directory and those below it
	floor int
}{
	{"bench", 12},
	{"cmd/snapd", 11},
	{"httpapi", 10},
	{"snapshot", 9},
	{"internal/restore", 8},
	{"internal/protection", 7},
	{"internal/recovery", 6},
	{"internal/backup", 6},
	{"internal/proof", 5},
	{"internal/breaks", 4},
	{"internal/failure", 4},
	{"internal/rowlog", 4},
	{"internal/remote", 4},
	{"internal/catalogfile", 3},
	{"internal/recorder", 3}, // nor does this know it
	{"internal/repair", 3},
	{"internal/points", 3},
	{"internal/notify", 3},
	{"catalog", 2},             // catalog and integrity
	{"integrity", 2},           // do not know each other
	{"internal/swap", 2},       // knows neither, nor they it
	{"internal/capture", 2},    // nor this
	{"internal/sqlitefile", 0}, // these seven
	{"internal/seekable", 0},   // import
	{"internal/durable", 0},    // nothing
	{"internal/schedule", 0},   // of ours
	{"internal/lineage", 0},
	{"internal/progress", 0},
	{"internal/readahead", 0},
	{"internal", 1},
}

// floorOf returns the room that a directory belongs to, "" for none.
func floorOf(dir string) (room string, floor int) {
	for _, f := range floors {
		if dir == f.room || strings.HasPrefix(dir, f.room+"/") {
			return f.room, f.floor
		}
	}
	return "", 0
}

func TestImportsPointDownward(t *testing.T) {
	for _, s := range sources(t) {
		room, floor := floorOf(s.dir())
		if room == "" {
			t.Errorf("%s: package %s has no floor; give it one here and in docs/architecture.md", s.path, s.dir())
			continue
		}
		if s.isTest() {
			continue // a test may bring in the floor above as its witness; Go forbids cycles
		}
		for imported, line := range s.imports(t) {
			dir, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			to, toFloor := floorOf(dir)
			if to == room {
				continue
			}
			if to == "" || toFloor >= floor {
				t.Errorf("%s:%d: %s imports %s, which is not below it", s.path, line, s.dir(), dir)
			}
		}
	}
}

// owners says in which rooms shipped code may import a package. Tests, and the
// comparisons in bench, may import anything.
var owners = map[string][]string{
	"testing":                             {"internal/testdb", "internal/store/storetest"},
	"testing/":                            {"internal/testdb", "internal/store/storetest"},
	"github.com/rogpeppe/go-internal/":    {"internal/testdb"},
	"go.uber.org/goleak":                  {"internal/testdb"},
	"github.com/chromedp/":                nil,
	module + "/internal/testdb":           {"internal/store/storetest"},
	module + "/internal/store/storetest":  nil,
	module + "/internal/samplecrm":        {"cmd/snapd", "internal/testdb"},
	"github.com/alecthomas/kong":          {"cmd/snapd"},
	"github.com/schollz/progressbar/":     {"cmd/snapd"},
	"github.com/mattn/go-isatty":          {"cmd/snapd"},
	"github.com/BurntSushi/toml":          {"cmd/snapd"},
	"github.com/prometheus/":              {"httpapi"},
	"github.com/julienschmidt/httprouter": {"httpapi"},
	"github.com/klauspost/compress/":      {"internal/archive", "internal/seekable"},
	"github.com/minio/":                   {"internal/store/s3", "internal/store/storetest"},
	"github.com/pkg/sftp":                 {"internal/store/sftp"},
	"golang.org/x/crypto/":                {"internal/store/sftp"},
	"github.com/zeebo/":                   {"internal/archive", "internal/changes"},
	"modernc.org/libc":                    {"internal/sqlite"},
	"modernc.org/sqlite/lib":              {"internal/sqlite"},
	"filippo.io/age":                      {"internal/store/seal"},
	"unsafe":                              {"internal/sqlite/engine", "internal/testdb"},
	"github.com/SaveTheRbtz/":             nil, // a foreign reader, for tests only
	"github.com/mattn/go-sqlite3":         nil, // a second SQLite library breaks the first one's locks
	"github.com/ncruces/go-sqlite3":       nil,
	"C":                                   nil,
	"github.com/google/renameio":          nil, // does not sync the directory
	"github.com/natefinch/atomic":         nil,
	"io/ioutil":                           nil,
	"math/rand":                           nil, // math/rand/v2
}

func TestLibrariesStayInTheirRoom(t *testing.T) {
	for _, s := range sources(t) {
		if room, _ := floorOf(s.dir()); s.isTest() || room == "bench" {
			continue
		}
		for imported, line := range s.imports(t) {
			for prefix, rooms := range owners {
				if imported != prefix && !(strings.HasSuffix(prefix, "/") && strings.HasPrefix(imported, prefix)) {
					continue
				}
				allowed := false
				for _, room := range rooms {
					allowed = allowed || s.dir() == room || strings.HasPrefix(s.dir(), room+"/")
				}
				if !allowed && s.dir() != strings.TrimPrefix(imported, module+"/") {
					t.Errorf("%s:%d: %s may be imported by %v only", s.path, line, imported, rooms)
				}
			}
		}
	}
}
