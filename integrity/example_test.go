package integrity_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/snapd/integrity"
)

// A verdict and its reason.
func ExampleCheck() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, name := range []string{"sound_rollback", "rule_check", "index_row_missing", "cell_count", "none"} {
		report, err := integrity.Check(ctx, "../testdata/corrupt/"+name+".db", integrity.Options{Level: integrity.LevelFull})
		var cannot *integrity.CheckError
		switch {
		case errors.As(err, &cannot):
			fmt.Println("no verdict:", cannot.Code, cannot.Hint)
		case report.Damaged():
			fmt.Printf("%s, seen by %s: %s\n", report.Verdict, report.FailedAt, report.Findings[0].Code)
		case len(report.Findings) > 0:
			fmt.Printf("%s: %s\n", report.Verdict, report.Findings[0].Message)
		default:
			fmt.Println(report.Verdict)
		}
	}
	// Output:
	// healthy
	// violations: CHECK constraint failed in t
	// corrupt, seen by quick: index_count
	// corrupt, seen by quick: btree_cell
	// missing
}
