package main

import (
	"testing"
	"time"
)

// Lost: the backup of the time that a person meant.
func TestMoments(t *testing.T) {
	zone := time.FixedZone("", 2*60*60)
	now := time.Date(2031, 3, 5, 10, 15, 30, 0, zone)
	at := func(day, hour, minute, second int) time.Time {
		return time.Date(2031, 3, day, hour, minute, second, 0, zone)
	}
	for word, want := range map[string]time.Time{
		"2031-03-04T12:00:00Z": at(4, 14, 0, 0),
		"2031-03-04 12:00":     at(4, 12, 0, 0),
		"2031-03-04 12:00:05":  at(4, 12, 0, 5),
		"2031-03-04T12:00":     at(4, 12, 0, 0),
		"2031-03-04":           at(4, 23, 59, 59),
		"10:15":                at(5, 10, 15, 0),
		"10:15:31":             at(4, 10, 15, 31), // today's has not come yet
		"today":                at(5, 23, 59, 59),
		"today 9:30":           at(5, 9, 30, 0),
		"yesterday":            at(4, 23, 59, 59),
		"Yesterday 14:00":      at(4, 14, 0, 0),
		"-2h":                  at(5, 8, 15, 30),
		"-1h30m":               at(5, 8, 45, 30),
		"-10m":                 at(5, 10, 5, 30),
		"-3d":                  at(2, 10, 15, 30),
	} {
		if got, ok := parseMoment(word, now); !ok || !got.Equal(want) {
			t.Errorf("%q is %v (%v), want %v", word, got, ok, want)
		}
	}
	for _, word := range []string{"", "x", "yesterday noon", "today-", "2h", "--2h", "-h", "-1x", "-d", "-999999d", "25:00", "2031-02-30", "2031-03", "tomorrow"} {
		if got, ok := parseMoment(word, now); ok {
			t.Errorf("%q is %v", word, got)
		}
	}
}

// Lost: the whole day, where a day has 25 hours.
func TestDaysEndWhenTheNextBegins(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2031, 10, 27, 8, 0, 0, 0, berlin)
	if got, _ := parseMoment("yesterday", now); got.Hour() != 23 || got.Day() != 26 {
		t.Errorf("yesterday ended at %v", got)
	}
}

// Lost: an hour of recovery points, where clocks are set back and its name says another one.
func TestAnHourThatCameTwice(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 10, 25, 8, 0, 0, 0, berlin)
	for word, want := range map[string]bool{
		"02:30": true, "2026-10-25 02:30": true, "today 2:30": true, "2026-10-25T02:59:59": true,
		"01:59": false, "03:00": false, "2026-10-24 02:30": false, "2026-10-25T00:30:00Z": false, "-6h": false,
	} {
		at, ok := parseMoment(word, now)
		if !ok {
			t.Fatal(word)
		}
		other, twice := secondTime(word, at)
		if twice != want || twice && (other.Equal(at) || other.Format(time.DateTime) != at.Format(time.DateTime)) {
			t.Errorf("%q: %v and %v, %v", word, at, other, twice)
		}
	}
}
