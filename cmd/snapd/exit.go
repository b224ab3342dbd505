package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

// Exit statuses; they are a contract with scripts. A command that a signal ended has 128
// and the signal's number: 130 for Ctrl-C.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitCorrupt = 3 // the database or a backup; status: at risk or unprotected
	exitMissing = 4 // no such backup or file
	exitBusy    = 5
	exitRefused = 6
)

// usageError is a command line that makes no sense.
type usageError struct{ message, hint string }

func (e *usageError) Error() string { return e.message }
func (e *usageError) Hint() string  { return e.hint }

// refusal is something not done for safety's sake. It matches snapshot.ErrRefused.
type refusal struct{ message, hint string }

func (e *refusal) Error() string        { return e.message }
func (e *refusal) Hint() string         { return e.hint }
func (e *refusal) Is(target error) bool { return target == snapshot.ErrRefused }

// noSuchFile is a path given by the user at which there is nothing. It matches
// snapshot.ErrMissing.
type noSuchFile struct{ err error }

func (e *noSuchFile) Error() string        { return e.err.Error() }
func (e *noSuchFile) Unwrap() error        { return e.err }
func (e *noSuchFile) Is(target error) bool { return target == snapshot.ErrMissing }

// outcome is a result, already printed, that has an exit status of its own: a
// corrupt database is what check was asked to find, no failure of check.
type outcome struct {
	status  int
	message string // for standard error when --quiet suppressed the result
}

func (e *outcome) Error() string { return e.message }

// codeOf returns the stable word for err.
func codeOf(err error) string {
	var usage *usageError
	var other *relayed
	switch {
	case errors.As(err, &usage):
		return "usage"
	case errors.As(err, &other):
		return other.Code
	}
	return snapshot.Code(err)
}

// statusOf maps an error to its exit status.
func statusOf(err error) int {
	var result *outcome
	if errors.As(err, &result) {
		return result.status
	}
	if err == nil {
		return exitDone
	}
	switch codeOf(err) {
	case "usage", "sql", "invalid":
		return exitUsage
	case "corrupt", "no_usable_backup":
		return exitCorrupt
	case "not_found", "missing":
		return exitMissing
	case "busy":
		return exitBusy
	case "refused":
		return exitRefused
	}
	return exitFailed
}

// advice is what can be done about an error that does not say so itself, by code.
var advice = map[string]string{
	"busy":          "nothing was changed; try again when it is free",
	"corrupt":       "snapd recover puts the newest good backup in its place",
	"not_found":     "snapd list shows what there is",
	"missing":       "is the path right?",
	"permission":    "run snapd as a user who may read and write the database and the backup directory",
	"newer_version": "a newer snapd reads it; nothing was changed",
	"read_only":     "make the backup directory writable, or choose another one with --dir",
}

// advised adds a hint to an error that has none of its own.
func advised(err error, hint string) error {
	if err == nil || snapshot.Hint(err) != "" {
		return err
	}
	return message.WithHint(err, hint)
}

func hintOf(err error) string {
	if own := snapshot.Hint(err); own != "" {
		return own
	}
	return advice[codeOf(err)]
}

// errorDocument is the JSON form of an error.
type errorDocument struct {
	Error errorBody `json:"error"`
}

type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// report prints err on standard error, in one line or as JSON, and returns the
// exit status.
func (a *app) report(ctx context.Context, err error) int {
	var result *outcome
	if err == nil || errors.As(err, &result) && (!a.Quiet || a.JSON) {
		return statusOf(err)
	}
	body, status := errorBody{Code: codeOf(err), Message: message.OneLine(err.Error()), Hint: message.OneLine(hintOf(err))}, statusOf(err)
	if body.Code == "cancelled" && ctx.Err() != nil {
		body.Message, body.Hint, status = "interrupted", "", a.signals.status()
	}
	if a.JSON {
		_ = json.NewEncoder(a.console).Encode(errorDocument{body}) // without standard error it cannot be reported
		return status
	}
	line := "snapd: " + visible(body.Message)
	if body.Hint != "" {
		line += "; " + visible(body.Hint)
	}
	fmt.Fprintln(a.console, line)
	return status
}
