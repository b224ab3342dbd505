package measure

import (
	"cmp"
	"fmt"
	"slices"
)

// Quantile is the smallest of values, which may not be empty, that at least share of
// them do not exceed; share is between 0 and 1.
func Quantile[T cmp.Ordered](values []T, share float64) T {
	v := slices.Sorted(slices.Values(values))
	i := int(share * float64(len(v)))
	if float64(i) == share*float64(len(v)) {
		i--
	}
	return v[min(max(i, 0), len(v)-1)]
}

// Span is the median of values, which may not be empty, with the least and the
// greatest of them, all printed by format.
func Span(format string, values []float64) string {
	return fmt.Sprintf(format+" ("+format+" – "+format+")", Median(values), slices.Min(values), slices.Max(values))
}
