//go:build soak && !windows

package snapshot_test

import "testing"

// Lost if this fails: what TestPowerLoss says, in one of the states that it leaves out.
func TestSoakPowerLoss(t *testing.T) { sweepPowerLoss(t, 1) }
