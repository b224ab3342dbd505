package store

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// If this fails, backups take the line that people work on, or are not sent at night.
func TestTimetable(t *testing.T) {
	for text, want := range map[string]map[string]int64{
		"":                      {"00:00": 0, "12:00": 0},
		"off":                   {"12:00": 0},
		"512k":                  {"00:00": 512 << 10, "23:59": 512 << 10},
		"08:00,512k 19:00,off":  {"00:00": 0, "07:59": 0, "08:00": 512 << 10, "18:59": 512 << 10, "19:00": 0, "23:59": 0},
		"19:00,2M 08:00,100":    {"00:00": 2 << 20, "07:59": 2 << 20, "08:00": 100, "19:00": 2 << 20},
		"00:00,1g 12:30,999999": {"00:00": 1 << 30, "12:29": 1 << 30, "12:30": 999999},
	} {
		table, err := ParseTimetable(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		for at, rate := range want {
			now, err := time.Parse("15:04", at)
			if err != nil {
				t.Fatal(err)
			}
			if got := table.At(now); got != rate {
				t.Errorf("%q at %s is %d, want %d", text, at, got, rate)
			}
		}
		if limits := NewLimiter(table) != nil; limits != (text != "" && text != "off") {
			t.Errorf("%q limits: %v", text, limits)
		}
	}
	for _, text := range []string{"fast", "0", "-1k", "+1k", "k", "8:00,1k", "24:00,1k", "08:00,", "08:00,1k 08:00,2k", "1k 2k", "1k 08:00,2k", "08:00,1k,2k", "9999999999g", "1.5m", "08:00:00,1k"} {
		if table, err := ParseTimetable(text); err == nil {
			t.Errorf("%q is read as %v", text, table)
		}
	}
}

// If this fails, more is sent than the limit says, or less.
func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, err := ParseTimetable("1m")
		if err != nil {
			t.Fatal(err)
		}
		l := NewLimiter(table)
		start := time.Now()
		done := make(chan error, 2)
		for range 2 { // connections share the limit
			go func() {
				_, err := l.Writer(t.Context(), io.Discard).Write(make([]byte, 5<<20))
				done <- err
			}()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(start); took < 9800*time.Millisecond || took > 10*time.Second {
			t.Errorf("10 MiB at 1 MiB/s took %s", took)
		}

		here, there := net.Pipe()
		defer there.Close()
		conn := l.Conn(here)
		go func() { time.Sleep(100 * time.Millisecond); conn.Close() }()
		go io.Copy(io.Discard, there)
		if n, err := conn.Write(make([]byte, 10<<20)); !errors.Is(err, net.ErrClosed) || n > 1<<20 {
			t.Errorf("a connection that was closed took %d bytes, %v", n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if n, err := l.Writer(ctx, io.Discard).Write(make([]byte, 10<<20)); !errors.Is(err, context.DeadlineExceeded) || n == 0 {
			t.Errorf("until the context ended, %d bytes, %v", n, err)
		}
	})
}
