package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"example.com/snapd/snapshot"
)

// program is how a person starts this program again.
func program() string {
	self, err := os.Executable()
	if err != nil {
		return "snapd"
	}
	if found, err := exec.LookPath("snapd"); err == nil && sameFile(found, self) {
		return "snapd"
	}
	if strings.Contains(self, string(filepath.Separator)+"go-build") {
		return "go run ./cmd/snapd" // the binary of go run is gone afterwards
	}
	return shellQuote(self)
}

func sameFile(a, b string) bool {
	sa, err := os.Stat(a)
	if err != nil {
		return false
	}
	sb, err := os.Stat(b)
	return err == nil && os.SameFile(sa, sb)
}

// commandLine is what a person types to run a command on the same database.
func (a *app) commandLine(m *snapshot.Manager, args ...string) string {
	line := program() + " --db " + shellQuote(a.DB)
	usual := filepath.Join(filepath.Dir(m.Database()), "backups")
	if _, preset := os.LookupEnv("SNAPD_DIR"); a.Dir != "" && (a.Dir != usual || preset) {
		line += " --dir " + shellQuote(a.Dir)
	}
	for _, arg := range args {
		line += " " + shellQuote(arg)
	}
	return line
}

// shellQuote quotes s for a POSIX shell where it needs that.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(`/.:_-+=,@%`, r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
