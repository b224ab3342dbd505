package notify

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// attempt is one that has ended.
type attempt struct {
	receiver Receiver
	id       string // of the message; "" for a ping
	ping     ping
	err      error
}

// deliver saves the memory, and begins what is due for the receivers that are not busy.
func (n *Notifier) deliver(ctx context.Context) {
	n.save() // first: what is sent and then forgotten would be sent under another id
	now := time.Now()
	for _, r := range n.Receivers {
		if n.busy[r.Name] {
			continue
		}
		o := n.mem.Receivers[r.Name]
		a := attempt{receiver: r}
		var send func() error
		if r.Way() == wayPing {
			if a.ping = n.nextPing(r, o, now); a.ping.What == "" {
				continue
			}
			send = func() error { return sendPing(ctx, n.client, r, a.ping) }
		} else {
			due := o.due()
			if due.IsZero() || now.Before(due) {
				continue
			}
			m := o.Waiting[0]
			a.id = m.ID
			send = func() error { return sendMessage(ctx, n.client, r, m.to(r), now) }
		}
		o.Tried, n.busy[r.Name] = now, true
		go func() {
			a.err = send()
			n.ended <- a
		}()
	}
}

// nextPing is what is to be said to a check by the look that was just taken.
func (n *Notifier) nextPing(r Receiver, o *outbox, now time.Time) ping {
	if o.Failing > 0 && now.Before(o.Retry) {
		delete(n.runs, r.Name) // how long a backup took is not worth a request
		return ping{}
	}
	if now.Sub(n.health.facts.Now).Abs() > poll {
		return ping{}
	}
	p := n.health.ping(r, o.Pinged, n.runs[r.Name], now)
	if p.What != "" && p.What != pingStart && n.pace[r.Name].Wait(now, pingPace) > 0 {
		return ping{} // that will still be so in a moment
	}
	delete(n.runs, r.Name)
	if p.What == "" || n.pace[r.Name].Wait(now, pingPace) > 0 {
		return ping{}
	}
	n.pace[r.Name].Take(now, pingPace)
	p.At = now
	return p
}

// took takes note of how an attempt ended.
func (n *Notifier) took(a attempt) {
	delete(n.busy, a.receiver.Name)
	o, now := n.mem.Receivers[a.receiver.Name], time.Now()
	if a.err != nil && errors.Is(a.err, context.Canceled) {
		return // the service ends; it is tried again at the next start
	}
	most, after := lastRetry, time.Duration(0)
	if a.id == "" {
		most = maxPingRetry
	}
	var refused *refusal
	if errors.As(a.err, &refused) {
		after = refused.after
	}
	failing, quiet := o.Failing > 0, a.ping.What == pingSuccess && o.Pinged.What == pingSuccess && now.Sub(o.LastSuccess) < lastRetry
	o.ended(now, a.err, after, most, said(a.err, a.receiver))
	switch {
	case a.err == nil && a.id != "":
		o.delivered(a.id)
	case a.err == nil:
		if a.ping.What != pingStart {
			o.Pinged = a.ping
		}
	}
	// A heartbeat is no change; that they come is written once an hour.
	n.dirty = n.dirty || a.err != nil || failing || !quiet
	n.save()
	n.show()
	if failing != (a.err != nil) {
		err := a.err
		if err != nil {
			err = errors.New(o.Error)
		}
		n.Report(a.receiver.Name, err)
	}
}

// sendMessage sends m, which is made for r, on its way.
func sendMessage(ctx context.Context, client *http.Client, r Receiver, m Message, now time.Time) error {
	switch r.Way() {
	case wayWebhook:
		return sendWebhook(ctx, client, r, m, now)
	case wayMail:
		return sendMail(ctx, r, m, nil)
	default:
		return runCommand(ctx, r, m)
	}
}

// wait is how long nothing is due.
func (n *Notifier) wait() time.Duration {
	now := time.Now()
	wait := poll
	for _, r := range n.Receivers {
		o := n.mem.Receivers[r.Name]
		if due := o.due(); !n.busy[r.Name] && !due.IsZero() {
			wait = min(wait, due.Sub(now))
		}
	}
	if next := n.mem.next(); !next.IsZero() && !n.looking {
		wait = min(wait, next.Sub(now))
	}
	return max(wait, time.Millisecond)
}
