package main

import (
	"fmt"
	"math"
	"time"

	"github.com/dustin/go-humanize"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

// continuous is how serve captures the commits between backups.
type continuous struct {
	Continuous     string `default:"auto" placeholder:"auto|off|DURATION" help:"Capture every commit between backups: auto looks each second while there are commits, and in the rollback-journal modes as often as keeps writers waiting for less than 2 % of the time."`
	KeepPoints     string `default:"48h,5m:7d,1h:30d" placeholder:"TIERS" help:"How long the captured recovery points stay (${default}): all for 48 hours, then one each 5 minutes for 7 days, then one an hour for 30 days; never longer than the backup that they build on."`
	PointsMaxBytes string `default:"0" placeholder:"SIZE" help:"The most that recovery points take, such as 2GiB; they go before their time for that. 0 is no limit."`
}

// Validate is called by the parser.
func (c continuous) Validate() error {
	var cfg snapshot.Config
	return c.read(&cfg)
}

func (c continuous) configure(cfg *snapshot.Config) { _ = c.read(cfg) } // Validate has passed

// read sets what the flags say.
func (c continuous) read(cfg *snapshot.Config) error {
	switch c.Continuous {
	case "auto":
	case "off":
		cfg.Continuous = -1
	default:
		d, err := time.ParseDuration(c.Continuous)
		if err != nil || d <= 0 {
			return fmt.Errorf("--continuous %.40q: want auto, off or a duration such as 5s", c.Continuous)
		}
		cfg.Continuous = d
	}
	var err error
	if cfg.KeepPoints, err = catalog.ParsePointTiers(c.KeepPoints); err != nil {
		return fmt.Errorf("--keep-points: %w", err)
	}
	limit, err := humanize.ParseBytes(c.PointsMaxBytes)
	if err != nil || limit > math.MaxInt64 {
		return fmt.Errorf("--points-max-bytes %.40q: want a size such as 2GiB; 0 is no limit", c.PointsMaxBytes)
	}
	cfg.PointsMaxBytes = int64(limit)
	return nil
}
