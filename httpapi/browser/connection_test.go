package browser

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"example.com/snapd/httpapi"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// unreachable is what a browser says of a server that is away.
const unreachable = `^no answer: .*net::ERR_|^log network error: .*net::ERR_|^(answer|log network error).*50[23]`

// Two people, or one with two tabs: what the second decides on an old picture must
// not happen, and the picture must become new.
func TestStaleTab(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	gone, pinned := s.manual("to go"), s.manual("to pin")
	s.manual("to stay")
	first := s.open(desktop)
	first.allow(`^(answer|log network error).*40[49]`)

	// The dialogs stand while the other one acts: what they show is old now.
	first.does(pinned, "delete")
	first.sees(hook("dialog-delete"))
	second := first.another()
	second.visit(s.page())
	second.does(pinned, "pin")
	second.sees(act(pinned, "unpin"))
	first.click(hook("dialog-delete-confirm"))
	first.says("body", "changed")
	if !s.find(pinned.ID).Pinned || len(s.backups()) != 3 {
		t.Fatal("the stale tab acted")
	}
	first.dismissDialogs()
	first.sees(act(pinned, "unpin"))

	first.does(gone, "restore")
	first.sees(hook("dialog-restore-1"))
	second.does(gone, "delete")
	second.click(hook("dialog-delete-confirm"))
	second.gone(row(gone))
	first.click(hook("dialog-restore-1-continue"))
	if must[bool](first, "Boolean("+found(hook("dialog-restore-2-name"))+")") {
		first.fill(hook("dialog-restore-2-name"), "data.db")
		first.click(hook("dialog-restore-2-confirm"))
	}
	first.dismissDialogs()
	first.gone(row(gone))
	first.gone(hook("undo-banner"))
}

// dismissDialogs leaves all dialogs by Esc.
func (p *tab) dismissDialogs() {
	p.t.Helper()
	for range 3 {
		if !must[bool](p, "Boolean(document.querySelector('dialog[open]'))") {
			return
		}
		p.press(kb.Escape)
	}
}

// A deployment in the middle of a backup: the page has to say that it has lost the
// server, find it again by itself, and show how the backup ended.
func TestServerRestartsInMidOperation(t *testing.T) {
	t.Parallel()
	s := newSite(t, ofBytes(6<<20))
	s.manual("before")
	p := s.open(desktop)
	p.allow(unreachable)
	release := s.hold(t, "backup", "compress")
	p.click(hook("create-submit"))
	p.sees(hook("operation-cancel"))
	go release() // so that closing finds it running, and can end it
	s.stop()
	p.sees(hook("connection"))
	p.accessible("without the server")
	s.start()
	p.gone(hook("operation-cancel"))
	p.says(hook("outcome"), "backup")
	p.says(hook("state"), "protected")
	s.manual("after the restart")
	p.says(hook("backups"), "after the restart") // events flow again
}

// The same, with a process that is killed: no process was left to report how it ended.
func TestServerIsKilledInMidOperation(t *testing.T) {
	t.Parallel()
	s := newSite(t, ofBytes(6<<20))
	s.stop()
	child := testdb.Reexec(t, "serve", s.config.Database, s.addr)
	child.WaitLine("serving")
	p := s.open(desktop)
	p.allow(unreachable)
	p.click(hook("create-submit"))
	p.says(hook("operation-phase"), "compress")
	child.Kill()
	p.sees(hook("connection"))
	s.start()
	p.says(hook("outcome"), "program ended")
	p.gone(hook("operation-cancel"))
	if n := len(s.backups()); n != 0 {
		t.Errorf("%d backups", n)
	}
	p.accessible("an interrupted backup")
}

// children are what this binary does as another process: here it serves until it is
// killed, with backups that never come further than compressing.
var children = map[string]func([]string) error{
	"serve": func(args []string) error {
		m, err := snapshot.Open(context.Background(), snapshot.Config{Database: args[0]})
		if err != nil {
			return err
		}
		h, err := httpapi.New(m, httpapi.Options{})
		if err != nil {
			return err
		}
		m.Subscribe(func(e snapshot.Event) {
			if e.Type == snapshot.EventProgress && e.Phase == "compress" {
				<-context.Background().Done()
			}
		})
		l, err := net.Listen("tcp", args[1])
		if err != nil {
			return err
		}
		fmt.Println("serving")
		if err := http.Serve(l, h); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	},
}

// A server that is away when a user acts, or comes: no blank page, no action that
// seems to have happened.
func TestServerIsAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.manual("here")
	p := s.open(desktop)
	p.allow(unreachable)
	s.stop()
	p.sees(hook("connection"))
	p.does(b, "pin")
	p.says("body", "cannot be reached")
	p.sees(act(b, "pin"))
	p.accessible("an action without the server")
	s.start()
	p.gone(hook("connection"))
	p.does(b, "pin")
	p.sees(act(b, "unpin"))
}

// The damaged database is why people come at all: the page must say so at once, and
// repair it with the button it offers.
func TestDamagedDatabase(t *testing.T) {
	t.Parallel()
	s := newSite(t, ofBytes(1<<20))
	before := s.count(rows)
	s.manual("sound")
	s.breakDatabase()
	p := s.open(desktop)
	p.says(hook("state"), "at risk")
	p.says(hook("state-reason"), "damaged")
	p.hears("heading", "at risk")
	p.accessible("a damaged database")
	p.click(hook("state-action"))
	p.confirmRestore()
	p.says(hook("state"), "protected")
	db := testdb.Open(t, s.config.Database)
	var n int64
	if err := db.QueryRow(rows).Scan(&n); err != nil || n != before {
		t.Errorf("%d contacts, want %d: %v", n, before, err)
	}
}
