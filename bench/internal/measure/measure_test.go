package measure

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The child holds memory and works for a while.
func TestMain(m *testing.M) {
	if os.Getenv("MEASURE_CHILD") == "" {
		os.Exit(m.Run())
	}
	held := make([]byte, 200<<20)
	for start := time.Now(); time.Since(start) < 200*time.Millisecond; {
		for i := 0; i < len(held); i += 4096 {
			held[i]++
		}
	}
	os.Stdout.WriteString("done")
	os.Exit(len(os.Getenv("MEASURE_CHILD")) - 1)
}

func child(t *testing.T, mark string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "MEASURE_CHILD="+mark)
	return cmd
}

// If this fails, the published costs are not those of the programs.
func TestRun(t *testing.T) {
	c, out, err := Run(child(t, "x"))
	if err != nil || string(out) != "done" {
		t.Fatalf("%q, %v", out, err)
	}
	if c.Wall < 200*time.Millisecond || c.CPU < 50*time.Millisecond || c.CPU > 2*c.Wall*time.Duration(runtime.NumCPU()) {
		t.Errorf("%+v of a child that worked for 200 ms", c)
	}
	if known := runtime.GOOS == "linux" || runtime.GOOS == "darwin"; known && (c.PeakBytes < 200<<20 || c.PeakBytes > 400<<20) {
		t.Errorf("%d bytes at the peak of a child that held 200 MiB", c.PeakBytes)
	}
	if _, out, err := Run(child(t, "xx")); err == nil || string(out) != "done" {
		t.Errorf("exit 1: %q, %v", out, err)
	}
	if _, _, err := Run(exec.Command(os.DevNull)); err == nil {
		t.Error("a program that cannot be started is none")
	}
}

// If this fails, one slow round decides, or the middle of two is not between them.
func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{3: {9, 1, 3}, 2: {3, 1}, 7: {7}} {
		if got := Median(values); got != want {
			t.Errorf("%v: %v", values, got)
		}
	}
}

// If this fails, a comparison runs at another size than was asked for.
func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"1": 1, "1000": 1000, "3KiB": 3 << 10, "64MiB": 64 << 20, "1GiB": 1 << 30} {
		var s Size
		if err := s.Set(text); err != nil || s != want || s.String() != text {
			t.Errorf("%s: %d (%s), %v", text, s, s, err)
		}
	}
	for _, text := range []string{"", "0", "-1MiB", "1GB", "MiB", "1.5GiB", strings.Repeat("9", 18) + "GiB"} {
		if err := new(Size).Set(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
