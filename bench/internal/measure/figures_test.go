package measure

import "testing"

// If this fails, tables show other figures than were measured.
func TestFigures(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[99-i] = i + 1
	}
	for share, want := range map[float64]int{0: 1, 0.5: 50, 0.99: 99, 0.991: 100, 1: 100} {
		if got := Quantile(hundred, share); got != want {
			t.Errorf("of 1 to 100 at %v: %d, want %d", share, got, want)
		}
	}
	if got := Quantile([]int{7}, 0.99); got != 7 {
		t.Errorf("of one value: %d", got)
	}
	if got := Span("%.1f", []float64{3, 1, 2}); got != "2.0 (1.0 – 3.0)" {
		t.Error(got)
	}
}
