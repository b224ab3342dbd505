package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

const (
	commandTimeout = 30 * time.Second
	commandLinger  = time.Second // how long it may leave its input unread after its end
)

// runCommand gives the message to a program. What the program prints goes nowhere: it may have secrets of its own.
func runCommand(ctx context.Context, r Receiver, m Message) error {
	input, err := encode(m)
	if err != nil {
		return fmt.Errorf("input of the command: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.Command[0], r.Command[1:]...)
	cmd.Stdin = bytes.NewReader(append(input, '\n'))
	cmd.WaitDelay = commandLinger
	ownGroup(cmd)
	err = cmd.Run()
	var status *exec.ExitError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil:
		return fmt.Errorf("the command did not end within %s, and was killed", commandTimeout)
	case errors.As(err, &status):
		return fmt.Errorf("the command failed: %s", status.ProcessState)
	case errors.Is(err, exec.ErrWaitDelay):
		return nil // it has ended well
	case err != nil:
		return fmt.Errorf("the command could not be run: %w", err)
	}
	return nil
}
