package swap_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/swap"
)

// pendingPlace is a place whose swap died after it wrote its intent, and that file.
func pendingPlace(t *testing.T) (p *place, intent string) {
	t.Helper()
	p = newPlace(t, files{"": "old", "-wal": "commits"})
	killedAt(t, "intent written", "run", "preserved with sidecars", filepath.Dir(p.target.Database))
	return p, filepath.Join(filepath.Dir(p.target.Database), ".data.db.snapd-restore")
}

// The directory of a database may belong to a user with fewer rights, who can write
// an intent file. Lost: files anywhere, removed or replaced by a swap that runs as root.
func TestForgedIntentsAreNotFollowed(t *testing.T) {
	p, path := pendingPlace(t)
	raw, err := os.ReadFile(path)
	must(t, err)
	forge := func(key string, value any) []byte {
		var in map[string]any
		must(t, json.Unmarshal(raw, &in))
		if in[key] == nil {
			t.Fatalf("the intent has no %q", key)
		}
		in[key] = value
		out, err := json.Marshal(in)
		must(t, err)
		return out
	}
	sidecars := func(suffix string) []map[string]any { return []map[string]any{{"suffix": suffix}} }
	for name, content := range map[string][]byte{
		"no JSON":                      []byte("{"),
		"empty":                        {},
		"newer version":                forge("version", 2),
		"another database":             forge("target", "other.db"),
		"staged elsewhere":             forge("staged", "../x/"+filepath.Base(p.staged(t))),
		"staged is no temporary file":  forge("staged", "data.db"),
		"staged for another database":  forge("staged", strings.Replace(filepath.Base(p.staged(t)), "data", "date", 1)),
		"quarantine elsewhere":         forge("quarantine", "/etc/corrupted_20251031_143000.db"),
		"quarantine of another name":   forge("quarantine", filepath.Join(p.target.Dir, "catalog.json")),
		"quarantine with a way out":    forge("quarantine", filepath.Join(p.target.Dir, "x", "..", "..", quarantine)),
		"sidecar that is the database": forge("sidecars", sidecars("")),
		"sidecar elsewhere":            forge("sidecars", sidecars("/../../etc/passwd")),
		"too large":                    append(raw, make([]byte, 1<<20)...),
	} {
		must(t, os.WriteFile(path, content, 0o600))
		refused(t, p, name)
	}
	must(t, os.Remove(path))
	must(t, os.Symlink("data.db", path))
	refused(t, p, "a symbolic link")
	must(t, os.Remove(path))
	must(t, os.WriteFile(path, raw, 0o600))
	if end, err := p.target.Finish(t.Context()); err != nil || end.Outcome != swap.Completed {
		t.Errorf("the real one: %+v, %v", end, err)
	}
}

func refused(t *testing.T, p *place, name string) {
	t.Helper()
	_, err1 := p.target.Pending()
	_, err2 := p.target.Finish(t.Context())
	for _, err := range []error{err1, err2} {
		var hint interface{ Hint() string }
		if err == nil || !errors.As(err, &hint) || hint.Hint() == "" {
			t.Errorf("%s: %v, want a refusal with a hint", name, err)
		}
	}
	want(t, p.target.Database, files{"": "old", "-wal": "commits"})
}

// An intent of another user's is not ours to follow.
func TestForeignIntentIsNotFollowed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can give a file away")
	}
	p, path := pendingPlace(t)
	must(t, os.Chown(path, 1234, 1234))
	refused(t, p, "another user's")
}

// Pending reports a swap that was cut short, and changes nothing.
func TestPending(t *testing.T) {
	p, path := pendingPlace(t)
	for range 2 {
		if n, err := p.target.Pending(); err != nil || n == nil || *n != note {
			t.Errorf("%+v, %v", n, err)
		}
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("intent file: %v, %v", st, err)
	}
}
