package integrity

import (
	"context"
	"fmt"
	"slices"

	"example.com/snapd/internal/livedb"
)

// Confirm checks the database again that report calls damaged, from the disk where the
// system lets go of what it has in memory. It returns nil where it finds that damage
// again. Else one of the two readings was wrong, or the second one could not be made: a
// *CheckError, and nothing may be replaced.
func Confirm(ctx context.Context, report Report, o Options) error {
	livedb.DropCached(report.Path)
	again, err := Check(ctx, report.Path, o)
	if err != nil {
		return err
	}
	both := func(f Finding) bool { return f.Code.Severity() >= SeverityDamage && slices.Contains(again.Findings, f) }
	if again.Verdict == report.Verdict && slices.ContainsFunc(report.Findings, both) {
		return nil
	}
	return &CheckError{Code: ErrCodeIO, Path: report.Path,
		Hint: "the disk or the memory gave other bytes the first time: check the hardware, then try again",
		Err:  fmt.Errorf("it was found %s, and read again %s", report.outcome(), again.outcome())}
}

// outcome is the verdict and the first of the findings.
func (r Report) outcome() string {
	if len(r.Findings) == 0 {
		return string(r.Verdict)
	}
	return fmt.Sprintf("%s (%s)", r.Verdict, r.Findings[0].Message)
}
