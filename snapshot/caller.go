package snapshot

import "context"

// Caller says on whose behalf something is done.
type Caller struct {
	// Who is a person or a program: "alice", "root (command line)".
	Who string
	// Run is an id that the caller chose for this one operation: its events bear it.
	Run string
}

type callerKey struct{}

// WithCaller returns a context for operations that are done on c's behalf. Their
// events, and their entries in the activity log, say so.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerOf returns the zero Caller for what the Manager does by itself.
func callerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
