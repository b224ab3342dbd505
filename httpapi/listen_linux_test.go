package httpapi

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// Lost: the mode of another file, to a user who exchanges the socket for a link before it gets its
// own mode by its name; or the page, to a program that connects before that.
func TestSocketHasItsModeFromTheBeginning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	config := net.ListenConfig{Control: ownerOnly}
	l, err := config.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v %v", info, err)
	}
}
