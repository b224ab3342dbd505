package snapshot

// Day is one day, in UTC, of the protection's history.
type Day struct {
	Date          string `json:"date"`  // 2026-11-25
	State         string `json:"state"` // ok, unchanged, failed, overdue, none
	Backups       int    `json:"backups"`
	Failed        int    `json:"failed"`
	DatabaseBytes int64  `json:"database_bytes"` // of the day's last backup, 0 unknown
	ArchiveBytes  int64  `json:"archive_bytes"`
	Detail        string `json:"detail"`
}

// History returns the last days, the oldest first, today last.
func (m *Manager) History(days int) ([]Day, error) {
	all := make([]Day, 0, days)
	for i := days - 1; i >= 0; i-- {
		all = append(all, Day{Date: m.now().AddDate(0, 0, -i).Format("2006-01-02"), State: "none"})
	}
	return all, nil
}
