package snapshot

import (
	"testing"
	"time"
)

// Lost: a promise that people can read; 12h0m0s is what a program says.
func TestPromiseIsPlain(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		"a backup every 12h":                    {Interval: 12 * time.Hour},
		"a backup every 10h30m":                 {Interval: 10*time.Hour + 30*time.Minute},
		"a backup every 20m, and after changes": {Interval: 20 * time.Minute, OnChange: time.Minute},
		"a backup every 1m30s":                  {Interval: 90 * time.Second},
		"a backup every 1h0m10s":                {Interval: time.Hour + 10*time.Second},
		`a backup by cron "0 */6 * * *"`:        {Cron: "0 */6 * * *", Interval: time.Hour},
		"no schedule":                           {Interval: -1},
	} {
		if got := cfg.promise(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
