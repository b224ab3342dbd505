package schedule

import "time"

// ProveEvery is how often a share of what is stored is read again. All of it is within ProveAll.
const (
	ProveEvery = 24 * time.Hour
	ProveAll   = 30 * ProveEvery
)

// Share returns those of order that are to be read again now, from its beginning: one, and so many that all that is stored, total bytes,
// is read within ProveAll; and all that are overdue. Who calls it puts first what waits longest.
func Share[T any](order []T, total int64, bytes func(T) int64, overdue func(T) bool) []T {
	portion := total/int64(ProveAll/ProveEvery) + 1
	for n, item := range order {
		if portion <= 0 && !overdue(item) {
			return order[:n]
		}
		portion -= bytes(item)
	}
	return order
}
