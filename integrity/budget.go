package integrity

import (
	"context"
	"regexp"
	"strings"
	"time"

	"example.com/snapd/internal/sqlite"
)

// What a check may cost. Honest work grows with the size of the database; what a
// crafted one makes of few bytes (an expression in its schema, a row that lacks a
// thousand columns, trees that share their branches) does not. So every run
// gets an amount in proportion, on top of one that is always affordable.
const (
	// baseTime and baseSteps are for the smallest database.
	baseTime  = 1500 * time.Millisecond
	baseSteps = 40 << 20
	// stepsPerByte: the smallest rows and index entries take some three instructions
	// of SQLite's virtual machine for each of their bytes, the sample CRM's 0.02.
	stepsPerByte = 8
	// evaluatedRate, in bytes a second, is how fast a database whose schema has
	// expressions is checked at the least; readRate is for one that has none, which is
	// as slow as its disk.
	evaluatedRate = 8 << 20
	readRate      = 1 << 20
	// maxMemory is how much the process may grow, in bytes, while expressions are evaluated.
	maxMemory = 96 << 20
	// maxMapped is the largest number of pages that a bit each is kept for unasked: 64 MiB.
	maxMapped = 1 << 29
)

// cost is an estimate, from the schema, of the cost of a check.
type cost struct {
	pages       int64 // of the image
	size        int64 // of the image, in bytes
	rules       bool  // there may be CHECK constraints
	expressions bool  // there may be any expression that a check evaluates, or foreign code
}

var (
	word = regexp.MustCompile(`(?i)\b(check|as|where)\b`)
	// plainIndex matches an index on nothing but columns.
	plainIndex = regexp.MustCompile("(?is)^[^(]*\\([\\w\\s,\"`\\[\\]]*\\)\\s*$")
)

// add takes one object of the schema into account. It errs on the careful side.
func (c *cost) add(kind, sql string) {
	switch kind {
	case "table":
		c.rules = c.rules || strings.Contains(strings.ToLower(sql), "check")
		c.expressions = c.expressions || isVirtual(sql) || word.MatchString(sql)
	case "index":
		c.expressions = c.expressions || sql != "" && !plainIndex.MatchString(sql)
	}
}

// measure learns the image's size.
func (s *sqlCheck) measure(ctx context.Context) error {
	pages, err := s.conn.Int(ctx, "PRAGMA page_count")
	if err != nil {
		return s.judge(err)
	}
	size, err := s.conn.Int(ctx, "PRAGMA page_size")
	s.cost.pages, s.cost.size = pages, pages*size
	return s.judge(err)
}

// budget is for one run over everything.
func (c *cost) budget() sqlite.Budget {
	b := sqlite.Budget{Steps: baseSteps + stepsPerByte*c.size, CPU: c.time(readRate)}
	if c.expressions {
		b.CPU, b.Memory = c.time(evaluatedRate), maxMemory
	}
	return b
}

func (c *cost) time(rate int64) time.Duration {
	return baseTime + time.Duration(float64(c.size)/float64(rate)*float64(time.Second))
}

// share is the budget of one run over everything, divided between the tables as
// they come: each may use half of the rest, so that none uses all. The
// last crumbs are not worth a try.
type share struct {
	left sqlite.Budget
}

const leastShare = 10 * time.Millisecond

func (c *cost) share() *share { return &share{c.budget()} }

func (s *share) run(conn *sqlite.Conn, check func() error) error {
	b := s.left
	if b.CPU < leastShare {
		return &sqlite.BudgetError{Budget: b, Spent: "time, together with the tables before it"}
	}
	b.Steps, b.CPU = max(b.Steps/2, 1), max(b.CPU/2, 1)
	conn.Limit(b)
	err := check()
	spent := conn.Spent()
	conn.Limit(sqlite.Budget{})
	s.left.Steps, s.left.CPU = s.left.Steps-spent.Steps, s.left.CPU-spent.CPU
	return err
}
