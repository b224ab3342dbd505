package store

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Timetable says how many bytes a second may be sent, by the time of day.
type Timetable []rateFrom

type rateFrom struct {
	from time.Duration // since midnight
	rate int64         // bytes a second, 0 for no limit
}

// ParseTimetable reads one rate for all times ("512k"), or changes of it ("08:00,512k 19:00,off"). A rate is a number of bytes a second,
// with k, m or g for the powers of 1024, or off. "" is no limit.
func ParseTimetable(text string) (Timetable, error) {
	var table Timetable
	for entry := range strings.FieldsSeq(text) {
		at, rate, timed := strings.Cut(entry, ",")
		if !timed {
			at, rate = "00:00", entry
		}
		clock, err := time.Parse("15:04", at)
		if err != nil || len(at) != len("15:04") {
			return nil, fmt.Errorf("limit %q: %q is no time of day, such as 08:00", text, at)
		}
		bytes, err := parseRate(rate)
		if err != nil {
			return nil, fmt.Errorf("limit %q: %w", text, err)
		}
		table = append(table, rateFrom{time.Duration(clock.Hour())*time.Hour + time.Duration(clock.Minute())*time.Minute, bytes})
		if !timed && len(strings.Fields(text)) > 1 {
			return nil, fmt.Errorf("limit %q: each rate has its time of day, such as 08:00,512k", text)
		}
	}
	slices.SortFunc(table, func(a, b rateFrom) int { return int(a.from - b.from) })
	for i := 1; i < len(table); i++ {
		if table[i].from == table[i-1].from {
			return nil, fmt.Errorf("limit %q: two rates for the same time", text)
		}
	}
	return table, nil
}

func parseRate(text string) (int64, error) {
	if text == "off" {
		return 0, nil
	}
	digits, shift := text, 0
	if text != "" {
		if i := strings.IndexByte("kmg", text[len(text)-1]|0x20); i >= 0 {
			digits, shift = text[:len(text)-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64>>shift || digits[0] == '+' {
		return 0, fmt.Errorf("%q is no rate, such as 512k, 2m or off", text)
	}
	return n << shift, nil
}

// At returns the rate at a time, in the time zone that it has; 0 for no limit.
func (t Timetable) At(now time.Time) int64 {
	if len(t) == 0 {
		return 0
	}
	clock := time.Duration(now.Hour())*time.Hour + time.Duration(now.Minute())*time.Minute
	rate := t[len(t)-1].rate // since yesterday
	for _, change := range t {
		if change.from <= clock {
			rate = change.rate
		}
	}
	return rate
}

// A Limiter keeps what is sent to a place, over all its connections, to a timetable. What is read from there is not limited: a
// restore is in a hurry. The nil Limiter has no limit.
type Limiter struct {
	table Timetable
	mu    sync.Mutex
	free  time.Time // when the bytes so far are sent
}

// NewLimiter returns nil for a timetable that never limits.
func NewLimiter(table Timetable) *Limiter {
	for _, change := range table {
		if change.rate > 0 {
			return &Limiter{table: table}
		}
	}
	return nil
}

// maxGulp is the most that is sent at once; with a low rate it is what goes in a quarter of a second.
const maxGulp = 64 << 10

// take returns how many of n bytes may be sent now, and how long to wait before.
func (l *Limiter) take(n int, now time.Time) (int, time.Duration) {
	rate := l.table.At(now)
	if rate == 0 {
		return n, 0
	}
	n = int(min(int64(n), maxGulp, max(1, rate/4)))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free.Before(now) {
		l.free = now
	}
	wait := l.free.Sub(now)
	l.free = l.free.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	return n, wait
}

// Writer returns w, limited, until ctx ends.
func (l *Limiter) Writer(ctx context.Context, w io.Writer) io.Writer {
	if l == nil {
		return w
	}
	return &limited{l, w, ctx}
}

type limited struct {
	l   *Limiter
	w   io.Writer
	ctx context.Context
}

func (l *limited) Write(p []byte) (done int, err error) {
	for done < len(p) {
		n, wait := l.l.take(len(p)-done, time.Now())
		if wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-l.ctx.Done():
				timer.Stop()
				return done, context.Cause(l.ctx)
			}
		}
		n, err = l.w.Write(p[done : done+n])
		if done += n; err != nil {
			return done, err
		}
	}
	return done, nil
}

// Conn returns conn, to which writing is limited.
func (l *Limiter) Conn(conn net.Conn) net.Conn {
	if l == nil {
		return conn
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	return &limitedConn{conn, l.Writer(ctx, conn), cancel}
}

type limitedConn struct {
	net.Conn
	w      io.Writer
	cancel context.CancelCauseFunc
}

func (c *limitedConn) Write(p []byte) (int, error) { return c.w.Write(p) }

func (c *limitedConn) Close() error {
	c.cancel(net.ErrClosed) // wakes a Write that waits
	return c.Conn.Close()
}
