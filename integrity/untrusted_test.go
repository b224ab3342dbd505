package integrity

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"example.com/snapd/internal/testdb"
)

func TestMain(m *testing.M) {
	testdb.RunChild(map[string]func([]string) error{"check": checkInChild})
	os.Exit(testdb.InMemory(m).Run())
}

// The bounds within which every file has to be judged. The time is
// the processor's: how long that takes depends on who else wants it.
const (
	boundTime   = 15 * time.Second
	boundMemory = 400 << 20 // bytes resident at the peak
)

// childReport is what a child says of its check.
type childReport struct {
	Report
	Err    string // code of the CheckError
	Detail string
	HWM    int64 // bytes
	MS     int64 // by the clock
	CPU    int64 // milliseconds of processor time of the whole process
}

// checkInChild is the check as a program would run it, one file in a process.
func checkInChild(args []string) error {
	level, err := ParseLevel(args[1])
	if err != nil {
		return err
	}
	ctx := context.Background()
	if len(args) > 2 {
		limit, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	before := goleak.IgnoreCurrent()
	start := time.Now()
	rep, err := Check(ctx, args[0], Options{Level: level, Untrusted: true, ScratchDir: filepath.Dir(filepath.Dir(args[0]))})
	r := childReport{Report: rep, MS: time.Since(start).Milliseconds()}
	if e := (*CheckError)(nil); errors.As(err, &e) {
		r.Err, r.Detail = e.Code, e.Error()
	} else if err != nil {
		return fmt.Errorf("not a CheckError: %w", err)
	}
	if r.HWM, err = peakMemory(); err != nil {
		return err
	}
	if r.CPU, err = processorTime(); err != nil {
		return err
	}
	if err := goleak.Find(before); err != nil {
		return fmt.Errorf("the check goes on behind: %w", err)
	}
	line, err := json.Marshal(map[string]any{"verdict": r.Verdict, "findings": r.Findings, "err": r.Err, "detail": r.Detail, "hwm": r.HWM, "ms": r.MS, "cpu": r.CPU})
	fmt.Printf("report %s\n", line)
	return err
}

// peakMemory is the largest resident size that this process had.
func peakMemory() (int64, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmHWM in /proc/self/status")
}

// processorTime is what this process has used, in milliseconds.
func processorTime() (int64, error) {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the program's name may hold spaces
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/self/stat: %q", b)
	}
	user, err := strconv.ParseInt(f[11], 10, 64) // proc(5): utime, stime in hundredths of a second
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(f[12], 10, 64)
	return 10 * (user + system), err
}

func inChild(t *testing.T, path string, level Level, args ...string) childReport {
	t.Helper()
	child := testdb.Reexec(t, "check", append([]string{path, level.String()}, args...)...)
	line := child.WaitLine("report ")
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	var r struct {
		Verdict      Verdict
		Findings     []Finding
		Err, Detail  string
		HWM, MS, CPU int64
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "report ")), &r); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return childReport{Report: Report{Verdict: r.Verdict, Findings: r.Findings}, Err: r.Err, Detail: r.Detail, HWM: r.HWM, MS: r.MS, CPU: r.CPU}
}

// No crafted file makes a check hang, take the machine's memory or leave a trace: one
// that did would take down the program that only wanted to know whether its data is whole. Many use up all
// the time that a check takes for such a file: checked here are one of each kind and a part of the others, by
// make sweep all.
func TestUntrusted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: the memory of a child is read from /proc/self/status")
	}
	all := craftedCases()
	kinds := make([]string, len(all))
	for i, crafted := range all {
		kinds[i] = crafted.kind()
	}
	chosen := testdb.NewSample(3).Choose(t.Name(), kinds)
	t.Logf("%d of %d files", len(chosen), len(all))
	for _, i := range chosen {
		crafted := all[i]
		t.Run(crafted.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "files", "x.db")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			crafted.build(t, path)
			entries, err := os.ReadDir(filepath.Dir(path))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				age(t, filepath.Join(filepath.Dir(path), e.Name()))
			}
			age(t, filepath.Dir(path))
			before := stamps(t, dir)
			levels := []Level{LevelFull}
			if crafted.levels {
				levels = []Level{LevelHeader, LevelProbe, LevelQuick, LevelFull}
			}
			for _, level := range levels {
				r := inChild(t, path, level)
				t.Logf("%v: %s%s in %d ms (%d of the processor), %d MiB: %.300v %.300s", level, r.Verdict, r.Err, r.MS, r.CPU, r.HWM>>20, r.Findings, r.Detail)
				if r.CPU > boundTime.Milliseconds() || r.HWM > boundMemory {
					t.Errorf("%v: %d ms, %d MiB", level, r.CPU, r.HWM>>20)
				}
				if level == LevelFull && crafted.verdict != "" && crafted.verdict != r.Verdict {
					t.Errorf("verdict %q, want %q", r.Verdict, crafted.verdict)
				}
				if crafted.whole && partial(r.Report) {
					t.Errorf("%v: left unchecked: %v", level, r.Findings)
				}
				if r.Err != "" && r.Err != crafted.err {
					t.Errorf("%v: error %s, want %q", level, r.Err, crafted.err)
				}
			}
			if crafted.deadline {
				const limit = 200 * time.Millisecond
				r := inChild(t, path, LevelFull, limit.String())
				t.Logf("within %v: %s%s in %d ms (%d of the processor)", limit, r.Verdict, r.Err, r.MS, r.CPU)
				if r.CPU > (limit+time.Second).Milliseconds() || r.MS > boundTime.Milliseconds() || r.Err != "" && r.Err != ErrCodeCancelled {
					t.Errorf("with a deadline of %v: %d ms (%d of the processor), %s", limit, r.MS, r.CPU, r.Detail)
				}
			}
			if after := stamps(t, dir); !maps.Equal(before, after) {
				t.Errorf("the check left traces: %v, then %v", before, after)
			}
		})
	}
}

// kind is the first word of its name, and whether it is as large as is let through.
func (c crafted) kind() string {
	word, _, _ := strings.Cut(c.name, "_")
	return fmt.Sprint(word, " ", strings.HasSuffix(c.name, "_below"))
}

// stamps is what a write to any file or directory below dir changes.
func stamps(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.Walk(filepath.Join(dir, "files"), func(path string, fi os.FileInfo, err error) error {
		if err == nil {
			m[path] = fmt.Sprint(fi.ModTime(), fi.Size(), fi.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left in the scratch directory: %v, %v", left, err)
	}
	return m
}
