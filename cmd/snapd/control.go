package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

// control is how commands reach the serve of their backup directory: a Unix
// socket there, which works without the page and ends with the process
// at either end. The command sends one request, and gets replies until one is the last.
// Both run as the same user or as root, and look at who the other is.
//
//	{"do":"restart","who":"alice (command line)"}
//	                                   {"say":"checking the database"}
//	                                   {"say":"waiting for the application (…) to end"}
//	                                   {"last":true,"recovery":{…},"error":null}
//	{"do":"sync","who":"alice (command line)","remote":"nas","wait":true}
//	                                   {"progress":{"phase":"send","done":4096,"total":8192}}
//	                                   {"last":true,"remote":{…},"error":null}
type controlRequest struct {
	Do     string `json:"do"`
	Who    string `json:"who"`
	Remote string `json:"remote,omitempty"`
	Wait   bool   `json:"wait,omitempty"`
}

const (
	doRestart = "restart" // recover the database between the stop of the application and its start
	doAsk     = "ask"     // say whether there is an application
	doSync    = "sync"    // send what is missing at a remote
)

type controlReply struct {
	Say         string                 `json:"say,omitempty"` // what is being waited for
	Progress    *controlProgress       `json:"progress,omitempty"`
	Last        bool                   `json:"last,omitempty"`
	Application bool                   `json:"application,omitempty"`
	Recovery    *snapshot.Recovery     `json:"recovery,omitempty"`
	LosesSince  time.Time              `json:"loses_since,omitzero"`
	Remote      *snapshot.RemoteStatus `json:"remote,omitempty"`
	Error       *errorBody             `json:"error,omitempty"`
}

type controlProgress struct {
	Phase string `json:"phase"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
}

// failedWith adds an error to a reply.
func (r controlReply) failedWith(err error) controlReply {
	if err != nil {
		r.Error = &errorBody{codeOf(err), err.Error(), hintOf(err)}
	}
	return r
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
	program *application // nil where there is none
	l       *net.UnixListener
}

// startControl serves requests of commands. Where it cannot, the data is protected
// all the same, and recover --restart and remote sync are all that there is not.
func (a *app) startControl(m *snapshot.Manager, p *application) (stop func()) {
	var l *net.UnixListener
	var closeAll func()
	err := durable.MkdirAll(m.Dir(), 0o700)
	if err == nil {
		l, closeAll, err = listenControl(m.Dir())
	}
	if err != nil {
		level := slog.LevelDebug
		if p != nil {
			level = slog.LevelWarn
		}
		a.log.Log(context.Background(), level, "recover --restart and remote sync will not reach this serve", "error", err.Error())
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
				c.a.log.Warn("a request of a command was not answered to its end", "error", err.Error())
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
	ctx := snapshot.WithCaller(context.Background(), snapshot.Caller{Who: message.OneLine(fmt.Sprintf("%.80s", req.Who))})
	last := controlReply{}
	switch req.Do {
	case doRestart:
		last = c.restart(ctx, reply)
	case doAsk:
		last.Application = c.program != nil
	case doSync:
		last = c.sync(ctx, req, reply)
	default:
		last.Error = &errorBody{"usage", fmt.Sprintf("this serve does not know the request %.40q", req.Do), "run the same version of snapd as serve"}
	}
	last.Last = true
	return reply(last)
}

// relayed is an error that another process reports.
type relayed struct{ errorBody }

func (e *relayed) Error() string { return e.Message }
func (e *relayed) Hint() string  { return e.errorBody.Hint }

// ask sends a request to the serve of m's directory, and returns its last reply, whose error it returns, too. said gets the others.
// What was asked is carried out although ctx ends. Where no serve answers, the error is a *noServe.
func ask(ctx context.Context, m *snapshot.Manager, req controlRequest, said func(controlReply)) (last controlReply, err error) {
	conn, err := dialControl(m.Dir())
	if err != nil {
		return last, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := json.NewEncoder(conn).Encode(req); err != nil {
		return last, fmt.Errorf("ask serve: %w", err)
	}
	for lines := bufio.NewReaderSize(conn, controlLine); ; {
		line, err := lines.ReadSlice('\n')
		var r controlReply
		if err == nil {
			err = json.Unmarshal(line, &r)
		}
		switch {
		case err != nil && ctx.Err() != nil:
			return last, ctx.Err()
		case err != nil:
			return last, fmt.Errorf("%w: %w", errServeEnded, err)
		case !r.Last:
			said(r)
			continue
		case r.Error != nil:
			return r, &relayed{*r.Error}
		}
		return r, nil
	}
}

// errServeEnded: the connection ended before the last reply.
var errServeEnded = errors.New("serve ended before it said how that went")

// noServe: no process answers at the socket.
type noServe struct{ err error }

func (e *noServe) Error() string { return e.err.Error() }
func (e *noServe) Unwrap() error { return e.err }
