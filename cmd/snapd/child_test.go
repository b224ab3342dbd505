package main

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"
)

// sampleApp is what serve's tests run after the --:
//
//	sampleapp args ARG…       print the arguments, one a line
//	sampleapp serve DB LOG    work on a database until SIGTERM: each signal is a line
//	                          of LOG, after "ready"; a last row is written, status 7
//	sampleapp hold DB LOG     have a database open until SIGTERM, and while a file LOG.busy is there:
//	                          "ready", "asked" and "ended" in LOG
//	sampleapp upper           standard input in capitals, and a line of standard error
func sampleApp() {
	if err := runSampleApp(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sampleapp:", err)
		os.Exit(99)
	}
}

func runSampleApp(args []string) error {
	switch {
	case len(args) > 0 && args[0] == "args":
		for _, a := range args[1:] {
			fmt.Printf("%q\n", a)
		}
		return nil
	case len(args) > 0 && args[0] == "upper":
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			fmt.Println(strings.ToUpper(in.Text()))
		}
		_, err := fmt.Fprintln(os.Stderr, "the app's own complaint")
		return err
	case len(args) == 3 && args[0] == "serve":
		return serveApp(args[1], args[2])
	case len(args) == 3 && args[0] == "hold":
		return holdApp(args[1], args[2])
	}
	return errors.New("usage: sampleapp args|upper|serve|hold")
}

// holdApp is an application that is in the way of a recovery, however damaged its database is.
func holdApp(database, logFile string) error {
	db, err := os.Open(database)
	if err != nil {
		return err
	}
	defer db.Close()
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	fmt.Fprintln(log, "ready")
	asked := false
	for parent := os.Getppid(); os.Getppid() == parent; { // until serve was killed, too: the test waits for this process
		select {
		case <-signals:
			asked = true
			fmt.Fprintln(log, "asked")
		case <-time.After(20 * time.Millisecond):
		}
		if _, err := os.Stat(logFile + ".busy"); asked && err != nil {
			_, err = fmt.Fprintln(log, "ended")
			return err
		}
	}
	return nil
}

func serveApp(database, logFile string) error {
	db, err := sql.Open("sqlite", database)
	if err != nil {
		return err
	}
	defer db.Close()
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals)
	fmt.Fprintln(log, "ready")
	interrupts := 0
	for s := range signals {
		switch {
		case strings.HasPrefix(s.String(), "urgent"): // the Go runtime's own
		case s == os.Interrupt:
			interrupts++
			fmt.Fprintln(log, s)
		case s == syscall.SIGTERM:
			if _, err := db.Exec("PRAGMA busy_timeout=10000; INSERT INTO t VALUES('last words')"); err != nil {
				return err
			}
			fmt.Fprintln(log, "interrupts: "+strconv.Itoa(interrupts))
			os.Exit(7)
		default:
			fmt.Fprintln(log, s)
		}
	}
	return nil
}

// logged waits until a file has a line that matches, all of it: logged FILE REGEXP.
func logged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: logged FILE REGEXP")
	}
	line := regexp.MustCompile("(?m)^" + args[1] + "$")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && line.Match(text) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no line %q after a minute (%v):\n%s", args[1], err, text)
		}
	}
}
