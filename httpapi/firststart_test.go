package httpapi

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"example.com/snapd/snapshot"
)

// The first start of all comes before the first backup, when there is no backup
// directory: a user who cannot log in then cannot see that nothing is protected.
func TestFirstStartMakesTheDirectory(t *testing.T) {
	m, err := snapshot.Open(t.Context(), snapshot.Config{Database: filepath.Join(t.TempDir(), "data.db")})
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close(t.Context())
	if !h.TokenCreated() {
		t.Error("no token was made")
	}
	st, err := os.Stat(m.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if got := st.Mode().Perm(); got != 0o700 && runtime.GOOS != "windows" {
		t.Errorf("the backup directory has mode %v", got)
	}
}
