package sqlite

import (
	"context"
	"fmt"
	"time"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/snapd/internal/sqlite/engine"
)

// Budget bounds what the statements of a connection may use from the call of Limit
// on; a field that is 0 sets no bound.
type Budget struct {
	// Steps is the number of instructions of SQLite's virtual machine.
	Steps int64
	// CPU is processor time: what other processes do does not count. Where the
	// operating system does not report it, it is the time that passes.
	CPU  time.Duration
	Time time.Duration // that passes
	// Memory is how much the process may grow, in bytes of resident memory. What
	// else the process does meanwhile counts as well; where the operating system
	// does not report it, nothing is bounded.
	Memory int64
}

// BudgetError says which bound a statement passed.
type BudgetError struct {
	Budget Budget
	Spent  string // what there was too much of, for a person
	OfTime bool   // that is time, by the clock
}

func (e *BudgetError) Error() string { return "the statement took too much " + e.Spent }

const (
	// tickSteps is how many instructions the engine runs between two looks at the
	// budget. Each of them can make a value of the largest size.
	tickSteps = 64
	// systemTick is how often the operating system is asked for memory and processor time.
	systemTick = 2 * time.Millisecond
)

// meter is what the engine's progress callback works with.
type meter struct {
	budget Budget
	over   *BudgetError
	steps  int64
	start  time.Time
	looked time.Duration // when the operating system was asked, from start
	cpu    cpuClock
	memory int64 // resident at the start
	done   <-chan struct{}
	tick   func(*libc.TLS, uintptr) int32 // kept here: the engine has its address
}

// Limit bounds the statements run from now on: one that passes the budget is
// interrupted with a BudgetError. The zero Budget takes the bounds away.
func (c *Conn) Limit(b Budget) {
	c.meter.budget, c.meter.over, c.meter.steps = b, nil, 0
	c.meter.start, c.meter.looked = time.Now(), 0
	c.meter.cpu.start()
	if c.maxValue > 0 {
		sqlite3.Xsqlite3_limit(c.tls, c.db, sqlite3.SQLITE_LIMIT_LENGTH, c.maxValue) // fit may have lowered it
	}
	if b == (Budget{}) {
		sqlite3.Xsqlite3_progress_handler(c.tls, c.db, 0, 0, 0)
		return
	}
	if b.Memory > 0 {
		c.meter.memory = residentMemory()
	}
	c.meter.tick = func(*libc.TLS, uintptr) int32 {
		if c.meter.exhausted(tickSteps) {
			return 1
		}
		return 0
	}
	sqlite3.Xsqlite3_progress_handler(c.tls, c.db, tickSteps, engine.Address(&c.meter.tick), 0)
}

// exhausted counts steps and reports whether the running statement has to end. The context is
// looked at as well: SQLite forgets an interrupt that comes while it compiles.
func (m *meter) exhausted(steps int64) bool {
	select {
	case <-m.done:
		return true
	default:
	}
	m.steps += steps
	since := time.Since(m.start) // half the price of Now
	switch b := m.budget; {
	case m.over != nil:
	case b.Steps > 0 && m.steps > b.Steps:
		m.over = &BudgetError{b, fmt.Sprintf("work: more than %d steps", b.Steps), false}
	case b.Time > 0 && since > b.Time:
		m.over = &BudgetError{b, fmt.Sprintf("time: more than %v", b.Time.Round(time.Millisecond)), true}
	case since-m.looked > systemTick:
		m.looked = since
		m.over = m.pastSystem()
	}
	return m.over != nil
}

// pastSystem returns which of the bounds is passed that the operating system knows.
func (m *meter) pastSystem() *BudgetError {
	switch b := m.budget; {
	case b.CPU > 0 && m.cpu.look() > b.CPU:
		return &BudgetError{b, fmt.Sprintf("time: more than %v of the processor", b.CPU.Round(time.Millisecond)), false}
	case b.Memory > 0 && residentMemory()-m.memory > b.Memory:
		return &BudgetError{b, fmt.Sprintf("memory: more than %d bytes", b.Memory), false}
	}
	return nil
}

// watch interrupts the running statement when ctx ends. The returned function
// ends the watch and does not return while an interrupt is being delivered.
func (c *Conn) watch(ctx context.Context) (end func()) {
	c.meter.done = ctx.Done()
	if ctx.Done() == nil {
		return func() {}
	}
	delivered := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(delivered)
		tls := libc.NewTLS()
		defer tls.Close()
		sqlite3.Xsqlite3_interrupt(tls, c.db)
	})
	return func() {
		if !stop() {
			<-delivered
		}
		c.meter.done = nil
	}
}

// interrupted says why a statement was: the context's end or the budget.
func (c *Conn) interrupted(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if c.meter.over != nil {
		return fmt.Errorf("%s: %w", op, c.meter.over)
	}
	return c.fail(op, sqlite3.SQLITE_INTERRUPT)
}

// Spent is what was used since Limit was called; its Memory is not reported.
func (c *Conn) Spent() Budget {
	return Budget{Steps: c.meter.steps, CPU: c.meter.cpu.look(), Time: time.Since(c.meter.start)}
}

// The engine looks at the budget where a program jumps, not in between, and one
// expression can fill thousands of registers without a jump. So before a program
// runs, the size of a value is limited to what its registers and instructions allow.
const (
	// fitMemory is what the registers of a program may hold together, in bytes.
	fitMemory = 64 << 20
	// fitWork is how many bytes the instructions may copy in one pass, and
	// functionWork how many copies a function is worth.
	fitWork      = 4 << 30
	functionWork = 32
	// fitLeast is the smallest limit; a program that needs a smaller one has a
	// schema of megabytes.
	fitLeast = 1 << 10
)

// fit limits values to what the program of a statement allows. It needs a
// connection with a limit of its own.
func (c *Conn) fit(stmt uintptr) {
	if c.maxValue == 0 || c.meter.budget.Memory == 0 {
		return
	}
	registers, work := engine.Work(stmt, functionWork)
	limit := int64(c.maxValue)
	if work > 0 {
		limit = min(limit, fitMemory/int64(registers), fitWork/work)
	}
	sqlite3.Xsqlite3_limit(c.tls, c.db, sqlite3.SQLITE_LIMIT_LENGTH, int32(max(limit, fitLeast)))
}
