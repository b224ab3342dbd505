package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime/pprof"
	"runtime/trace"
)

// profiled is fn with a CPU profile (cpu.pprof) and a trace (trace.out) of it in dir.
// Both cost time themselves: the round counts, but is not to be trusted.
func profiled(dir string, fn func() error) func() error {
	return func() (err error) {
		cpu, err := os.Create(filepath.Join(dir, "cpu.pprof"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cpu.Close()) }()
		events, err := os.Create(filepath.Join(dir, "trace.out"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, events.Close()) }()
		if err := errors.Join(pprof.StartCPUProfile(cpu), trace.Start(events)); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		defer trace.Stop()
		return fn()
	}
}
