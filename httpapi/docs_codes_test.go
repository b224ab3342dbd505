package httpapi

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Lost: what to do, for a program that gets a code which docs/http-api.md does not have.
func TestEveryCodeIsInTheGuide(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "docs", "http-api.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, errs, _ := strings.Cut(string(guide), "\n## Errors\n")
	errs, _, _ = strings.Cut(errs, "\n## ")
	sent := map[string]bool{}
	for code, status := range statusOfCode {
		sent[fmt.Sprint(status, " ", code)] = true
	}
	numbers := map[string]int{}
	for status := range 600 {
		numbers["Status"+strings.NewReplacer(" ", "", "-", "").Replace(http.StatusText(status))] = status
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	made := regexp.MustCompile(`fail\(http\.(Status\w+), "(\w+)"`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range made.FindAllStringSubmatch(string(text), -1) {
			sent[fmt.Sprint(numbers[m[1]], " ", m[2])] = true
		}
	}
	if len(sent) < 25 {
		t.Fatalf("only %d codes were found", len(sent))
	}
	row := regexp.MustCompile(`(?m)^\| ([\d, ]+) \| (.*) \|$`)
	listed := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(errs, -1) {
		for status := range strings.SplitSeq(m[1], ", ") {
			for _, code := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(m[2], -1) {
				listed[status+" "+code[1]] = true
			}
		}
	}
	for code := range sent {
		if !listed[code] {
			t.Errorf("the guide does not have %s", code)
		}
	}
}

// Lost: why the data is at risk, for who reads the code of a status.
func TestStatusCodesAreInTheGuide(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "docs", "http-api.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(guide), "\n| state | code |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	d := apiDocument()
	codes := d.schema(d.Components.Schemas["Status"].Properties["code"]).Enum
	if len(codes) < 10 {
		t.Fatalf("only %d codes were found", len(codes))
	}
	for _, code := range codes {
		if !strings.Contains(table, fmt.Sprintf("`%s`", code)) {
			t.Errorf("the guide does not have %s", code)
		}
	}
}
