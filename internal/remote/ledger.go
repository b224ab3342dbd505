package remote

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
)

// Dir is the directory of the ledgers in a backup directory.
const Dir = "remotes"

const (
	ledgerExt    = ".json"
	ledgerFormat = 1
	maxLedger    = 256 << 20
)

// Ledger is what a backup directory remembers of one remote: a file of its own, which is replaced after each change. The
// store's own list corrects it at each start; what it alone knows are the proofs.
type Ledger struct {
	Format   int    `json:"format"`
	Remote   string `json:"remote"`            // its name
	Where    string `json:"where"`             // where it is; of one that is configured elsewhere now, where the copies are
	Retired  bool   `json:"retired,omitempty"` // it is not configured any more
	Database string `json:"database"`          // the id in its description; "" before there is one
	// Beginning: the description is being written, and may not be there yet.
	Beginning bool `json:"beginning,omitempty"`
	// Token says which backup directory this is, and Inode that the ledger is still in the directory where it was made: a copy
	// of a backup directory gets another token, and may not write to the same remote.
	Token string `json:"token"`
	Inode uint64 `json:"inode"`
	Claim uint64 `json:"claim"` // number of the newest writer's note that was seen
	// From is the first timeline whose backups are sent: those before it are another machine's.
	From uint64 `json:"from,omitempty"`

	Place      string         `json:"place,omitempty"` // what identifies the place, where its store has such a thing
	Sealed     bool           `json:"sealed"`          // recipients are configured
	Recipients []string       `json:"recipients"`      // for whom objects were sealed last
	Period     time.Duration  `json:"period"`          // how old what is there may be while there is newer here
	Keep       catalog.Policy `json:"keep"`
	Copies     []Copy         `json:"copies"`
	Failure    *Failure       `json:"failure"`           // nil: the last attempt succeeded
	Stopped    bool           `json:"stopped,omitempty"` // for that failure nothing more is sent
	Listed     *time.Time     `json:"listed"`            // when the store was asked last for what is there
	Proven     *time.Time     `json:"proven"`            // when a share was read back last
}

// Copy is an object that is there.
type Copy struct {
	Name     string         `json:"name"`
	Size     int64          `json:"size"`
	Checksum string         `json:"checksum"`            // as store.Object has it; "" where it is not known
	At       time.Time      `json:"at"`                  // when it was stored
	ReadBack *time.Time     `json:"read_back,omitempty"` // when it was read back last, also where it is damaged
	Damaged  string         `json:"damaged,omitempty"`   // what is wrong with it
	Other    bool           `json:"other,omitempty"`     // it is damaged by a comparison with what is here: to read it back proves nothing
	Keys     string         `json:"keys,omitempty"`      // keysOf the recipients that it is sealed for; "" where it is not sealed, or not known
	Entry    *catalog.Entry `json:"entry,omitempty"`     // of a backup, as it was sent; nil where only its name is known
	Base     string         `json:"base,omitempty"`      // of a segment: the id of the backup that its timeline's log begins with
}

// Failure says why a remote cannot be used.
type Failure struct {
	Since   time.Time `json:"since"`
	Code    string    `json:"code"`
	Message string    `json:"message"`
}

func ledgerPath(dir, name string) string { return filepath.Join(dir, Dir, name+ledgerExt) }

// ReadLedger reads what the backup directory dir remembers of a remote. fs.ErrNotExist: nothing.
func ReadLedger(dir, name string) (l Ledger, err error) {
	path := ledgerPath(dir, name)
	f, err := durable.OpenRegular(path, os.O_RDONLY, 0)
	if err != nil {
		return l, fmt.Errorf("read what is known of remote %s: %w", name, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err == nil && fi.Size() > maxLedger {
		err = fmt.Errorf("%d bytes, at most %d are read", fi.Size(), maxLedger)
	}
	if err == nil {
		err = json.NewDecoder(f).Decode(&l)
	}
	if err == nil && (l.Format != ledgerFormat || l.Remote != name) {
		err = fmt.Errorf("format %d of remote %.40q, want %d", l.Format, l.Remote, ledgerFormat)
	}
	if err != nil {
		return Ledger{}, fmt.Errorf("read what is known of remote %s: %s: %w", name, path, err)
	}
	return l, nil
}

// PlaceAt is what identifies the place at a URL; "" where that is not known.
func (l *Ledger) PlaceAt(url string) string {
	if l.Where != Where(url) {
		return ""
	}
	return l.Place
}

// Ledgers reads all ledgers of a backup directory that are in use, in order of their names.
func Ledgers(dir string) (all []Ledger, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, Dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the remotes: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ledgerExt)
		if !ok || CheckRemote(name) != nil {
			continue
		}
		l, err := ReadLedger(dir, name)
		if err != nil {
			return nil, err
		}
		if !l.Retired {
			all = append(all, l)
		}
	}
	return all, nil
}

// CheckRemote reports why a remote cannot have that name, or nil.
func CheckRemote(name string) error {
	valid := len(name) > 0 && len(name) <= 64
	for i := range len(name) {
		valid = valid && (plain(name[i]) || name[i] == '.' && i > 0)
	}
	if !valid {
		return fmt.Errorf("a remote cannot be called %.80q: 1 to 64 letters, digits and ._- are allowed", name)
	}
	return nil
}

// openLedger returns the ledger of a remote for the process that sends, which it makes where there is none. In a copy of a
// backup directory it has a token of its own from then on.
func openLedger(dir, name string) (l Ledger, err error) {
	if err := durable.MkdirAll(filepath.Join(dir, Dir), 0o700); err != nil {
		return l, err
	}
	id, err := livedb.Identify(filepath.Join(dir, Dir))
	if err != nil {
		return l, err
	}
	l, err = ReadLedger(dir, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l = Ledger{Format: ledgerFormat, Remote: name}
	case err != nil:
		return l, err
	}
	if l.Token == "" || l.Inode != id.Ino {
		l.Token, l.Inode = newToken(), id.Ino
	}
	return l, nil
}

func newToken() string { return strings.ToLower(rand.Text()) }

func (l *Ledger) write(dir string) error {
	text, err := json.Marshal(l)
	if err == nil {
		err = durable.WriteFile(ledgerPath(dir, l.Remote), text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("remember what is at remote %s: %w", l.Remote, err)
	}
	return nil
}

// names are those of the copies.
func (l *Ledger) names() (list []Name) {
	for _, c := range l.Copies {
		if n, ok := Parse(c.Name); ok {
			list = append(list, n)
		}
	}
	return list
}

// find is the number of a copy, -1 for none.
func (l *Ledger) find(name string) int {
	return slices.IndexFunc(l.Copies, func(c Copy) bool { return c.Name == name })
}

// put adds a copy, or replaces the one of its name.
func (l *Ledger) put(c Copy) {
	if i := l.find(c.Name); i >= 0 {
		l.Copies[i] = c
		return
	}
	l.Copies = append(l.Copies, c)
}

func (l *Ledger) drop(name string) {
	l.Copies = slices.DeleteFunc(l.Copies, func(c Copy) bool { return c.Name == name })
}

// Retire has the remotes whose names are not among these shown and judged no more. What is known of them stays.
func Retire(dir string, configured []string) error {
	all, err := Ledgers(dir)
	for _, l := range all {
		if !slices.Contains(configured, l.Remote) {
			l.Retired = true
			err = errors.Join(err, l.write(dir))
		}
	}
	return err
}

// Remember enters what was found of the copies at a remote, while no service is at work. What was sent again since is another copy.
func Remember(dir, name string, copies []Copy) error {
	l, err := ReadLedger(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, c := range copies {
		if i := l.find(c.Name); i >= 0 && l.Copies[i].At.Equal(c.At) && l.Copies[i].Size == c.Size {
			l.put(c)
		}
	}
	return l.write(dir)
}
