package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

// control is how recover --restart reaches the serve that runs the application: a Unix
// socket in the backup directory, which works without the page and ends with the process
// at either end. The command sends one request, and gets replies until one is the last.
// Both run as the same user or as root, and look at who the other is.
//
//	{"do":"restart","who":"alice (command line)"}
//	                                   {"say":"checking the database"}
//	                                   {"say":"waiting for the application (…) to end"}
//	                                   {"last":true,"recovery":{…},"error":null}
type controlRequest struct {
	Do  string `json:"do"`
	Who string `json:"who"`
}

// doRestart asks for a recovery between the stop of the application and its start.
const doRestart = "restart"

type controlReply struct {
	Say        string             `json:"say,omitempty"` // what is being waited for
	Last       bool               `json:"last,omitempty"`
	Recovery   *snapshot.Recovery `json:"recovery,omitempty"`
	LosesSince time.Time          `json:"loses_since,omitzero"`
	Error      *errorBody         `json:"error,omitempty"`
}

const (
	controlName     = ".snapd-serve.sock"
	controlPatience = 10 * time.Second // for a request, and for a reply to be taken
	controlLine     = 1 << 20          // the most bytes of a request or a reply
)

// control serves requests until the socket is closed.
type control struct {
	a       *app
	m       *snapshot.Manager
	program *application
	l       *net.UnixListener
}

// startControl serves requests about the application. Where it cannot, the data is protected
// all the same, and recover --restart is all that there is not.
func (a *app) startControl(m *snapshot.Manager, p *application) (stop func()) {
	l, closeAll, err := listenControl(m.Dir())
	if err != nil {
		a.log.Warn("recover --restart will not reach this serve", "error", err.Error())
		return func() {}
	}
	c := &control{a: a, m: m, program: p, l: l}
	go c.accept()
	return closeAll
}

func (c *control) accept() {
	for {
		conn, err := c.l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Second) // out of descriptors, say
			continue
		}
		go func() {
			defer conn.Close()
			if err := c.answer(conn); err != nil {
				c.a.log.Warn("a request of recover --restart was not answered to its end", "error", err.Error())
			}
		}()
	}
}

// answer reads the one request of a connection and carries it out, also where the command that
// sent it is no longer there.
func (c *control) answer(conn *net.UnixConn) error {
	if err := checkPeer(conn, os.Geteuid()); err != nil {
		return err
	}
	var req controlRequest
	if err := conn.SetReadDeadline(time.Now().Add(controlPatience)); err != nil {
		return err
	}
	if err := json.NewDecoder(io.LimitReader(conn, controlLine)).Decode(&req); err != nil {
		if errors.Is(err, io.EOF) {
			return nil // only looked whether a serve is there
		}
		return fmt.Errorf("read the request: %w", err)
	}
	replies := json.NewEncoder(conn)
	reply := func(r controlReply) error {
		if err := conn.SetWriteDeadline(time.Now().Add(controlPatience)); err != nil {
			return err
		}
		return replies.Encode(r)
	}
	if req.Do != doRestart {
		return reply(controlReply{Last: true, Error: &errorBody{"usage", fmt.Sprintf("this serve does not know the request %.40q", req.Do), "run the same version of snapd as serve"}})
	}
	ctx := snapshot.WithCaller(context.Background(), snapshot.Caller{Who: message.OneLine(fmt.Sprintf("%.80s", req.Who))})
	rec, err := c.program.recover(ctx, c.m, func(what string) { _ = reply(controlReply{Say: what}) }) // the last reply says what is wrong
	last := controlReply{Last: true, LosesSince: rec.LosesSince}
	if rec.Action != "" {
		last.Recovery = &rec
	}
	if err != nil {
		last.Error = &errorBody{codeOf(err), err.Error(), hintOf(err)}
	}
	return reply(last)
}

// relayed is an error that another process reports.
type relayed struct{ errorBody }

func (e *relayed) Error() string { return e.Message }
func (e *relayed) Hint() string  { return e.errorBody.Hint }

// askRestart has the serve of m's directory restart its application around a recovery. say is called
// with what is being waited for. What was asked is carried out although ctx ends.
func askRestart(ctx context.Context, m *snapshot.Manager, who string, say func(string)) (rec snapshot.Recovery, err error) {
	conn, err := dialControl(m.Dir())
	if err != nil {
		return rec, noControl(m, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := json.NewEncoder(conn).Encode(controlRequest{doRestart, who}); err != nil {
		return rec, fmt.Errorf("ask serve: %w", err)
	}
	for lines := bufio.NewReaderSize(conn, controlLine); ; {
		line, err := lines.ReadSlice('\n')
		var r controlReply
		if err == nil {
			err = json.Unmarshal(line, &r)
		}
		switch {
		case err != nil && ctx.Err() != nil:
			say("serve goes on with the recovery; status and its log say how it ends")
			return rec, ctx.Err()
		case err != nil:
			return rec, message.WithHint(fmt.Errorf("serve ended before it said how the recovery went: %w", err), "see its log, and status; its next start recovers the database before the application starts")
		case !r.Last:
			say(message.OneLine(r.Say))
			continue
		}
		if r.Recovery != nil {
			rec, rec.LosesSince = *r.Recovery, r.LosesSince
		}
		if r.Error != nil {
			return rec, &relayed{*r.Error}
		}
		return rec, nil
	}
}

// noControl says what to do where no serve runs the application.
func noControl(m *snapshot.Manager, cause error) error {
	const byHand = "stop the application, run snapd recover, and start it again"
	var none *noServe
	if !errors.As(cause, &none) {
		return message.WithHint(fmt.Errorf("%w: ask serve: %w", snapshot.ErrRefused, cause), byHand)
	}
	what := "no snapd serve runs the application of " + m.Database()
	if holder, err := m.RunningIn(); err == nil && holder != "" {
		what = fmt.Sprintf("%s protects %s, but has not started its application (serve -- CMD)", holder, m.Database())
	}
	return message.WithHint(fmt.Errorf("%w: %s", snapshot.ErrRefused, what), byHand)
}

// runsApplication reports whether a serve that runs an application protects m's database.
func runsApplication(m *snapshot.Manager) bool {
	conn, err := dialControl(m.Dir())
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// noServe: no process answers at the socket.
type noServe struct{ err error }

func (e *noServe) Error() string { return e.err.Error() }
func (e *noServe) Unwrap() error { return e.err }
