package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// readSuite reads a report strictly and holds it to what CI systems rely on:
// one document, sums that are those of the cases, numbers and times that are such.
func readSuite(ts *testscript.TestScript, text string) testSuite {
	var doc testSuites
	dec := xml.NewDecoder(strings.NewReader(text))
	ts.Check(dec.Decode(&doc))
	if rest, err := dec.Token(); !errors.Is(err, io.EOF) {
		if space, ok := rest.(xml.CharData); !ok || strings.TrimSpace(string(space)) != "" {
			ts.Fatalf("more than one document: %v, %v", rest, err)
		}
	}
	s := doc.Suite
	failures, errs, sum := 0, 0, 0.0
	for _, c := range s.Cases {
		if c.Class == "" || c.Name == "" || c.Failure != nil && c.Error != nil {
			ts.Fatalf("not a test case: %+v", c)
		}
		sum += secondsOf(ts, c.Time)
		if c.Failure != nil {
			failures++
		}
		if c.Error != nil {
			errs++
		}
		for _, p := range []*testProblem{c.Failure, c.Error} {
			if p != nil && (p.Type == "" || p.Message == "") {
				ts.Fatalf("a failure that does not say why: %+v", p)
			}
		}
	}
	if s.Name == "" || s.Tests != len(s.Cases) || s.Failures != failures || s.Errors != errs || s.Skipped != 0 {
		ts.Fatalf("the suite says %d tests, %d failures, %d errors, %d skipped; the cases say %d, %d, %d",
			s.Tests, s.Failures, s.Errors, s.Skipped, len(s.Cases), failures, errs)
	}
	// Each case is rounded to a millisecond.
	if whole := secondsOf(ts, s.Time); sum > whole+0.001*float64(len(s.Cases)+1) {
		ts.Fatalf("the cases took %g s, the suite %g", sum, whole)
	}
	at, err := time.Parse("2006-01-02T15:04:05", s.Timestamp)
	ts.Check(err)
	if age := time.Since(at); age < -time.Second || age > time.Hour {
		ts.Fatalf("the suite's time is %s", s.Timestamp)
	}
	return s
}

func secondsOf(ts *testscript.TestScript, s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	ts.Check(err)
	if v < 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		ts.Fatalf("%s is not a time", s)
	}
	return v
}

// junitCmd looks into a report:
//
//	junit FILE T tests F failures E errors
//	junit FILE N passed|failure|error NAME [TYPE] [TEXT]   case N, from 0; TEXT in its message or output
func junitCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: junit FILE T tests F failures E errors | junit FILE N OUTCOME NAME [TYPE] [TEXT]")
	}
	s := readSuite(ts, ts.ReadFile(args[0]))
	n := int(number(ts, args[1]))
	if args[2] == "tests" && len(args) == 7 {
		if s.Tests != n || s.Failures != int(number(ts, args[3])) || s.Errors != int(number(ts, args[5])) {
			ts.Fatalf("%d tests, %d failures, %d errors", s.Tests, s.Failures, s.Errors)
		}
		return
	}
	if n >= len(s.Cases) {
		ts.Fatalf("there are %d cases", len(s.Cases))
	}
	c := s.Cases[n]
	outcome, text, problem := "passed", c.Out, &testProblem{}
	if c.Failure != nil {
		outcome, problem = "failure", c.Failure
	} else if c.Error != nil {
		outcome, problem = "error", c.Error
	}
	text += problem.Type + " " + problem.Message + " " + problem.Text
	if c.Name != args[3] || outcome != args[2] || len(args) > 4 && problem.Type != args[4] && outcome != "passed" {
		ts.Fatalf("case %d is %s, %s, of type %q", n, c.Name, outcome, problem.Type)
	}
	for _, want := range args[4:] {
		if !strings.Contains(text, want) {
			ts.Fatalf("case %d does not say %q but %q", n, want, text)
		}
	}
}
