package catalog

const (
	// restoreRate, in bytes a second, is for where nothing was measured yet: each part
	// of a restore is faster on a modest machine.
	restoreRate = 400e6
	// measurable is the size in bytes from which on the time that something took says
	// more about its size than about what every operation takes.
	measurable = 16 << 20
	// leastTime, in milliseconds, is for locks, syncing and looking at the result.
	leastTime = 100
)

// Measured is how long something took; the zero value is nothing known.
type Measured struct{ Bytes, MS int64 }

// Scaled is how many milliseconds it will take for that many bytes.
func (t Measured) Scaled(bytes int64) int64 {
	if t.MS > 0 && t.Bytes >= measurable {
		return int64(float64(t.MS) * float64(bytes) / float64(t.Bytes))
	}
	return max(t.MS, int64(float64(bytes)/restoreRate*1000))
}

// RestoreTime guesses how many milliseconds a restore of an image of that size takes, by
// the last drill, with the saving of live bytes before it, by the newest verified backup.
// drilled and latest are nil where there is none.
func RestoreTime(image, live int64, s State, drilled, latest *Entry) int64 {
	var restore, save Measured
	if s.LastDrill != nil && drilled != nil {
		restore = Measured{drilled.DatabaseBytes, s.LastDrill.DurationMS}
	}
	if latest != nil {
		save = Measured{latest.DatabaseBytes, latest.DurationMS}
	}
	ms := restore.Scaled(image)
	if live > 0 {
		ms += save.Scaled(live)
	}
	return max(leastTime, ms)
}

// ArchiveSize guesses the stored size of an image, by the ratio of the newest verified
// backup; nil where there is none.
func ArchiveSize(image int64, latest *Entry) int64 {
	if latest != nil && latest.DatabaseBytes > 0 {
		return int64(float64(image) * min(1, 1.2*float64(latest.ArchiveBytes)/float64(latest.DatabaseBytes)))
	}
	return image / 2
}
