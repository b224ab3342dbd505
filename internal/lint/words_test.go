package lint

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// lines calls fn with each line that a maintainer or a user reads, but not those of this file.
func lines(t *testing.T, fn func(name string, number int, line []byte)) {
	t.Helper()
	top := root(t)
	walk(t, func(name string, d fs.DirEntry) {
		switch filepath.Ext(name) {
		case ".go", ".md", ".js", ".css", ".html", ".mod", ".txtar", ".yml", "":
		default:
			return
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 || name == "internal/lint/words_test.go" {
			return // the built program, above all
		}
		text, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(name)))
		if err != nil {
			t.Error(err)
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			fn(name, i+1, line)
		}
	})
}

// Remaining work belongs in an issue, where it is seen.
func TestNothingIsLeftForLater(t *testing.T) {
	unfinished := regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)
	lines(t, func(name string, number int, line []byte) {
		if mark := unfinished.Find(line); mark != nil {
			t.Errorf("%s:%d: %s", name, number, mark)
		}
	})
}

// instead has the words that were in use for the same thing, and the one that is used. Keys are regular expressions for whole
// words, in lower case; the glossary of docs/architecture.md has what each word means.
var instead = map[string]string{
	`mend(s|ed|ing|able)?`:          "repair",
	`gravity`:                       "severity",
	`tally|tallies`:                 "results, total",
	`twin`:                          "second reader",
	`besides|beside`:                "next to",
	`anew`:                          "again",
	`kin`:                           "kind",
	`foretells?`:                    "forecast",
	`whoever|somebody`:              "the user, the process, the attacker",
	`beforehand`:                    "prestaged",
	`condemn(s|ed)?`:                "mark failed",
	`latecomers?|guests?`:           "stragglers, open handles",
	`hostile`:                       "untrusted",
	`tells?|told`:                   "report, log, return, notify, distinguish",
	`stillfunc|stillthere|standing`: "state token, active",
	`copylike`:                      "reuse a frame",
}

// If this fails, one thing has two names.
func TestWords(t *testing.T) {
	var all []string
	for words := range instead {
		all = append(all, words)
	}
	banned := regexp.MustCompile(`(?i)\b(` + strings.Join(all, "|") + `)\b`)
	lines(t, func(name string, number int, line []byte) {
		if filepath.Base(name) == "CHANGELOG.md" || strings.Contains(name, "/vendor/") {
			return // what was released keeps its words
		}
		for _, found := range banned.FindAll(line, -1) {
			for words, good := range instead {
				if regexp.MustCompile(`(?i)^(` + words + `)$`).Match(found) {
					t.Errorf("%s:%d: %q: say %s", name, number, found, good)
				}
			}
		}
	})
}
