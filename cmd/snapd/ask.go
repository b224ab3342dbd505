package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"
)

// attended reports whether a person can be asked.
func (a *app) attended() bool {
	return term.IsTerminal(int(a.in.Fd())) && a.console.terminal()
}

// consent asks a question that only "y" or "yes" answers in the affirmative.
func (a *app) consent(ctx context.Context, question string) error {
	answer, err := a.ask(ctx, question+" [y/N] ")
	if err != nil {
		return err
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return declined()
	}
	return nil
}

// retype asks for a word to be typed, so that it is meant.
func (a *app) retype(ctx context.Context, question, word string) error {
	answer, err := a.ask(ctx, question+" ")
	if err != nil {
		return err
	}
	if answer != word {
		return declined()
	}
	return nil
}

func declined() error { return &refusal{"not confirmed; nothing was changed", ""} }

// unattended is the answer without a terminal.
func unattended(what string) error {
	return &refusal{what + " needs a confirmation, and there is no terminal", "use --yes"}
}

// ask reads one line from the person at the terminal.
func (a *app) ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(a.console, question)
	type reply struct {
		line string
		err  error
	}
	got := make(chan reply, 1)
	// A read from a terminal cannot be cancelled: after an interrupt this
	// goroutine ends with the process.
	go func() {
		line, err := a.line()
		got <- reply{line, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.console)
		return "", ctx.Err()
	case r := <-got:
		if r.err == io.EOF {
			fmt.Fprintln(a.console)
			return "", nil // the end of the input confirms nothing
		}
		if r.err != nil {
			return "", fmt.Errorf("read the answer: %w", r.err)
		}
		return strings.TrimSpace(r.line), nil
	}
}

// line reads one line and leaves what follows it for the next question.
func (a *app) line() (string, error) {
	if a.answers == nil {
		a.answers = bufio.NewReader(io.LimitReader(a.in, 1<<16))
	}
	line, err := a.answers.ReadString('\n')
	if err == io.EOF && line != "" {
		err = nil
	}
	return line, err
}
