package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
)

// The elements and attributes are those of the schema that Jenkins publishes
// (xunit-plugin, junit-10.xsd); other CI systems read a part of them.
type (
	testSuites struct {
		XMLName xml.Name  `xml:"testsuites"`
		Suite   testSuite `xml:"testsuite"`
	}
	testSuite struct {
		Name       string         `xml:"name,attr"`
		Tests      int            `xml:"tests,attr"`
		Failures   int            `xml:"failures,attr"`
		Errors     int            `xml:"errors,attr"`
		Skipped    int            `xml:"skipped,attr"`
		Time       string         `xml:"time,attr"`      // seconds
		Timestamp  string         `xml:"timestamp,attr"` // UTC; the schemas that are strict allow no zone
		Properties []testProperty `xml:"properties>property"`
		Cases      []testCase     `xml:"testcase"`
	}
	testProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	testCase struct {
		Class   string       `xml:"classname,attr"`
		Name    string       `xml:"name,attr"`
		Time    string       `xml:"time,attr"`
		Failure *testProblem `xml:"failure"`
		Error   *testProblem `xml:"error"`
		Out     string       `xml:"system-out,omitempty"`
	}
	testProblem struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// junitSuite makes one test case of each path. Damage, a missing file and, with
// strict, violations are failures; what could not be checked is an error.
func junitSuite(all []checked, strict bool, started time.Time, took time.Duration) *testSuite {
	s := &testSuite{Name: "snapd check", Tests: len(all), Time: seconds(took),
		Timestamp:  started.UTC().Format("2006-01-02T15:04:05"),
		Properties: []testProperty{{"strict", strconv.FormatBool(strict)}}}
	for _, c := range all {
		one := testCase{Class: "snapd.check." + c.level.String(), Name: visible(c.path), Time: seconds(c.took)}
		found := strings.Join(c.findings(), "\n")
		switch {
		case c.failure != nil:
			s.Errors++
			one.Error = &testProblem{c.failure.Code, visible(c.failure.Message), found}
		case c.status(strict) != exitDone:
			s.Failures++
			one.Failure = c.problem(found)
		case found != "":
			one.Out = c.verdict() + "\n" + found + "\n"
		}
		s.Cases = append(s.Cases, one)
	}
	return s
}

// problem is what the verdict rests on, or the verdict itself.
func (c checked) problem(text string) *testProblem {
	p := &testProblem{Type: string(c.report.Verdict), Message: c.verdict(), Text: text}
	if f, ok := c.decisive(); ok && c.report.Verdict != integrity.Missing {
		p.Type, p.Message = string(f.Code), c.verdict()+": "+visible(f.Message)
	}
	return p
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// write replaces file by the report; a reader sees the old one or the new one.
func (s *testSuite) write(file string) error {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	enc := xml.NewEncoder(&b)
	enc.Indent("", "  ")
	// What XML cannot hold the encoder replaces.
	if err := enc.Encode(testSuites{Suite: *s}); err != nil {
		return fmt.Errorf("write --junit: %w", err)
	}
	b.WriteString("\n")
	// Reports are for others to read; nothing of a row stands in them.
	if err := durable.WriteFile(file, b.Bytes(), 0o644); err != nil {
		return advised(fmt.Errorf("write --junit: %w", err), "name a file in a writable directory")
	}
	return nil
}

// mayBecomeReport refuses, before anything is checked, a file that the report may
// not or cannot replace. In "--junit *.db", where the report's name was forgotten,
// the shell gives the one of a database.
func mayBecomeReport(file string) error {
	if file == "-" {
		return &usageError{"--junit writes to a file, not to standard output", "name one, for example --junit report.xml"}
	}
	fi, err := os.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Dir(file)); err != nil {
			return advised(fmt.Errorf("--junit: %w", err), "its directory must exist")
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	if !fi.Mode().IsRegular() {
		return &refusal{fmt.Sprintf("--junit %s is not a regular file", visible(file)), "name a file for the report"}
	}
	f, err := livedb.Open(file) // it may be a live database
	if err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	defer f.Close()
	start := make([]byte, min(fi.Size(), 256))
	if _, err := f.ReadAt(start, 0); err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	if text := strings.TrimSpace(string(start)); text != "" && !strings.HasPrefix(text, "<") {
		return &refusal{fmt.Sprintf("--junit %s exists and is no earlier report; it was not touched", visible(file)),
			"name the report's file after --junit"}
	}
	return nil
}
