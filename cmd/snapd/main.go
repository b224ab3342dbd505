// Program snapd backs up one SQLite database that others are using, proves
// every backup, and puts a good one back when the database is damaged.
package main

import "os"

func main() { os.Exit(run(os.Args[1:])) }

// run executes one command line and returns its exit status.
func run(args []string) int {
	ctx, signals := interruptible()
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	a.signals = signals
	err := a.run(ctx, args)
	a.close()
	return a.report(ctx, err)
}
