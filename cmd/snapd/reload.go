package main

import (
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"example.com/snapd/snapshot"
)

// reloadable are the settings that serve takes from its configuration file again when it
// gets SIGHUP. The others need a restart: what is open with them stays open.
var reloadable = []string{"interval", "cron", "on-change", "check-every", "continuous", "keep-points", "points-max-bytes",
	"keep", "keep-replaced", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly", "log-level", "quiet"}

// hungUp asks for readAgain.
func (c *serveCmd) hungUp() {
	select {
	case c.hangup <- struct{}{}:
	default: // it is asked for already
	}
}

// readAgain reads the command line and its configuration file again and applies what can
// be. A mistake there changes nothing.
func (c *serveCmd) readAgain(a *app, m *snapshot.Manager) {
	if a.Config == "" {
		a.log.Info("SIGHUP: nothing to reload, there is no --config")
		return
	}
	again := &app{out: io.Discard, console: a.console}
	parsed, err := again.parse(a.args)
	fresh, isServe := parsed.(*serveCmd)
	if err == nil && isServe {
		fresh.receivers, err = again.receivers()
	}
	if err == nil && isServe {
		fresh.remotes, err = again.remotes()
	}
	if err == nil && isServe {
		var cfg snapshot.Config
		fresh.configure(&cfg)
		err = m.Reload(cfg)
	}
	if err != nil {
		a.log.Error("SIGHUP: the configuration is not reloaded, all settings stay as they are", "error", err.Error(), "hint", hintOf(err))
		return
	}
	a.level.Set(again.logLevel(true))
	var taken, waiting []string
	if !reflect.DeepEqual(c.receivers, fresh.receivers) {
		taken, c.receivers = append(taken, fmt.Sprintf("notify (%s)", count(len(fresh.receivers), "receiver", "receivers"))), fresh.receivers
	}
	if !reflect.DeepEqual(c.remotes, fresh.remotes) {
		taken, c.remotes = append(taken, fmt.Sprintf("remote (%s)", count(len(fresh.remotes), "remote", "remotes"))), fresh.remotes
	}
	for _, name := range slices.Sorted(maps.Keys(again.settings)) {
		switch was, is := a.settings[name], again.settings[name]; {
		case was == is:
		case slices.Contains(reloadable, name):
			taken = append(taken, name+" = "+is)
			a.settings[name] = is
		default:
			waiting = append(waiting, name)
		}
	}
	a.log.Info("SIGHUP: configuration reloaded", "changed", orNothing(taken))
	if len(waiting) > 0 {
		a.log.Warn("SIGHUP: some settings need a restart", "settings", strings.Join(waiting, ", "))
	}
}

func orNothing(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}
