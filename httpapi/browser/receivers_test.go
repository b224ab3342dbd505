package browser

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/snapd/snapshot"
)

// Lost: the news that no person would be notified. The address of a receiver, which is a secret, is not shown.
func TestFailingReceiver(t *testing.T) {
	t.Parallel()
	hc := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	t.Cleanup(hc.Close)
	s := newSite(t, func(s *site) {
		s.config.Notify = []snapshot.Receiver{{Name: "<b>ops", Ping: snapshot.Secret(hc.URL + "/s3cret-uuid")}}
	})
	s.manual("all is well")
	p := s.open(desktop)
	p.gone(hook("receivers-banner"))
	s.exec("DELETE FROM notes")
	s.run()
	p.says(hook("receivers-banner"), "do not reach <b>ops", "never reached", "502")
	p.says(hook("activity"), "could not notify a receiver")
	p.accessible("with a receiver that fails")
	if text := p.text(); strings.Contains(text, "s3cret") {
		t.Errorf("the page shows the address: %s", text)
	}
}
