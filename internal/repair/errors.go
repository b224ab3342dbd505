package repair

import (
	"errors"
	"fmt"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/sqlite"
)

func notRepairable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrNotRepairable, fmt.Errorf(format, args...))
}

// failed distinguishes the database's fault, ErrNotRepairable, from the attempt's.
func failed(path string, err error) error {
	if errors.Is(err, ErrNotRepairable) {
		return err
	}
	if errors.Is(err, integrity.ErrUnprovable) || malformed(err) {
		return fmt.Errorf("%w: %w", ErrNotRepairable, err)
	}
	switch e := integrity.AsCheckError(path, err); e.Code {
	case integrity.ErrCodeLimit, integrity.ErrCodeUnsupported:
		return fmt.Errorf("%w: %w", ErrNotRepairable, err)
	default:
		return e
	}
}

// damageAs makes ErrNotRepairable of an error of the engine that is the database's fault.
func damageAs(err error) error {
	if err != nil && !errors.Is(err, ErrNotRepairable) && (sqlite.IsDamage(err) || sqlite.IsInexpressible(err)) {
		return fmt.Errorf("%w: %w", ErrNotRepairable, err)
	}
	return err
}
