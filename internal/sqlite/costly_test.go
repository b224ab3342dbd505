package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"example.com/snapd/internal/sqlite/engine"
)

// untrustedPair opens the same empty database without and with the switches for untrusted files.
func untrustedPair(t *testing.T) (plain, untrusted *Conn) {
	t.Helper()
	path := makeDB(t, "x.db", "CREATE TABLE t(a)")
	var conns [2]*Conn
	for i := range conns {
		c, err := Open(path, Options{Untrusted: i == 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		conns[i] = c
	}
	return conns[0], conns[1]
}

// A wrapped function gives what SQLite's own gives, of every kind of argument: another
// answer would make rows break rules, or indexes differ, that do not.
func TestWrappedFunctionsAreTheSame(t *testing.T) {
	plain, untrusted := untrustedPair(t)
	values := []string{"NULL", "''", "0", "-3", "2.5", "x''", "x'00ff80'", "'a'", "'%'", "'a%_b'", "'[a-c]*'", "'ÄöÜ'", "x'c3'",
		"'abc' || char(0) || 'def'", "'  pad '", "'[1,2,{\"a\":3}]'", "'{\"a\":{\"b\":null}}'", "json('[1]')", "jsonb('{\"a\":1}')", "'$.a'", "'$[0]'", "'%d %s %5.1f'", "zeroblob(5)", "'[[0,0],[1,0],[1,1],[0,0]]'", "'616263'"}
	r := rand.New(rand.NewPCG(1, 2))
	for _, f := range costlyFunctions() {
		for range 300 {
			call := f.call
			if f.args < 0 {
				call = f.name + "(?" + strings.Repeat(",?", r.IntN(5)) + ")"
			}
			for strings.Contains(call, "?") {
				call = strings.Replace(call, "?", values[r.IntN(len(values))], 1)
			}
			query := fmt.Sprintf("SELECT typeof(v) || ':' || quote(v) || subtype(v) FROM (SELECT %s AS v LIMIT 1)", call)
			want, wantErr := plain.Text(t.Context(), query)
			got, err := untrusted.Text(t.Context(), query)
			var a, b *Error
			if errors.As(wantErr, &a) != errors.As(err, &b) || a != nil && b != nil && (a.Code != b.Code || a.Msg != b.Msg) {
				// The number of arguments is looked at when a statement is compiled.
				if a == nil || !strings.HasPrefix(a.Msg, "wrong number") {
					t.Errorf("%s: %v, want %v", call, err, wantErr)
				}
			} else if got != want {
				t.Errorf("%s: %q, want %q", call, got, want)
			}
		}
	}
}

// Arguments that would keep one call busy for hours, or fill the memory, are refused at once.
func TestCostlyCalls(t *testing.T) {
	_, c := untrustedPair(t)
	for _, call := range []string{
		"instr(hex(zeroblob(500000)), hex(zeroblob(250000))||'1')",
		"replace(hex(zeroblob(500000)), hex(zeroblob(250000))||'1', 'x')",
		"rtrim(hex(zeroblob(500000)), replace(hex(zeroblob(200000)),'00','ab'))",
		"hex(zeroblob(500000)) LIKE '%'||replace(hex(zeroblob(9000)),'00','0_')||'1'",
		"hex(zeroblob(500000)) GLOB '*'||replace(hex(zeroblob(9000)),'00','[0]')||'1'",
		"json_patch('{'||replace(hex(zeroblob(9000)),'00','\"a\":1,')||'\"b\":1}', '{'||replace(hex(zeroblob(9000)),'00','\"c\":1,')||'\"b\":1}')",
		"json_pretty('['||replace(hex(zeroblob(9000)),'00','1,')||'1]', hex(zeroblob(200000)))",
		"json_array(hex(zeroblob(500000))" + strings.Repeat(",hex(zeroblob(500000))", 100) + ")",
		"concat(hex(zeroblob(500000))" + strings.Repeat(",hex(zeroblob(500000))", 100) + ")",
	} {
		start := time.Now()
		if _, err := c.Text(t.Context(), "SELECT "+call); Classify(err) != ClassTooBig {
			t.Errorf("%.60s: %v", call, err)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%.60s took %v", call, d)
		}
	}
}

const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT sum(i) FROM n"

// A statement ends when its budget does, says so, and leaves the connection fit for
// the next and no goroutine behind.
func TestBudget(t *testing.T) {
	defer goleak.VerifyNone(t)
	_, c := untrustedPair(t)
	for name, b := range map[string]Budget{"steps": {Steps: 1 << 20}, "time": {Time: 50 * time.Millisecond}, "processor": {CPU: 50 * time.Millisecond}} {
		c.Limit(b)
		_, err := c.Int(t.Context(), endless)
		spent := c.Spent()
		c.Limit(Budget{})
		var over *BudgetError
		if Classify(err) != ClassBudget || !errors.As(err, &over) || over.Budget != b {
			t.Errorf("%s: %v", name, err)
		}
		if b.Steps > 0 && (spent.Steps < b.Steps || spent.Steps > 2*b.Steps) || spent.Time < b.Time {
			t.Errorf("%s: spent %+v", name, spent)
		}
		if v, err := c.Int(t.Context(), "SELECT 7"); err != nil || v != 7 {
			t.Errorf("%s: afterwards %d, %v", name, v, err)
		}
	}
}

// The context ends a statement whose budget is not used up, and is distinguished from it.
func TestBudgetAndContext(t *testing.T) {
	_, c := untrustedPair(t)
	c.Limit(Budget{Time: time.Minute, Memory: 1 << 40})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := c.Int(ctx, endless); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// A program of a thousand registers may not fill each with the largest value:
// nothing looks at the memory between two of its instructions.
func TestRegistersShareMemory(t *testing.T) {
	_, c := untrustedPair(t)
	c.Limit(Budget{Memory: 1 << 40})
	query := "SELECT max(" + strings.Repeat("hex(zeroblob(400000)),", 900) + "1)"
	if _, err := c.Text(t.Context(), query); Classify(err) != ClassTooBig {
		t.Error(err)
	}
	if n, err := c.Int(t.Context(), "SELECT length(hex(zeroblob(400000)))"); err != nil || n != 800000 {
		t.Errorf("%d, %v", n, err)
	}
	c.Limit(Budget{})
	if _, err := c.Text(t.Context(), query); err != nil {
		t.Errorf("the limit outlived its budget: %v", err)
	}
}

// SQLite crashing on a file is an error of that connection, for good, and neither
// the end of the host nor proof of damage.
func TestCrash(t *testing.T) {
	_, c := untrustedPair(t)
	for name, fault := range map[string]func() int32{
		"nil":   func() int32 { return engine.Int(0) },
		"bad":   func() int32 { return engine.Int(^uintptr(0) >> 24) },
		"index": func() int32 { var none []int32; return none[len(none)] },
	} {
		c.broken = nil
		if _, err := c.run(name, fault); Classify(err) != ClassCrashed {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Int(t.Context(), "SELECT 1"); Classify(err) != ClassCrashed {
			t.Errorf("%s: the connection is used again: %v", name, err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
	}
	c.broken = nil
}

// A larger limit of values outlives a budget: it was set for a file whose owner stored them.
func TestLimitOfValuesOutlivesBudget(t *testing.T) {
	_, c := untrustedPair(t)
	c.LimitValues(2 * MaxValue)
	c.Limit(Budget{Time: time.Minute})
	c.Limit(Budget{})
	if n, err := c.Int(t.Context(), fmt.Sprintf("SELECT length(zeroblob(%d))", MaxValue+1)); err != nil || n != MaxValue+1 {
		t.Errorf("%d, %v", n, err)
	}
}
