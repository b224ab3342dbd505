package main

import (
	"os"
	"runtime"
	"strings"
	"time"
	_ "time/tzdata" // many containers have no zone data
)

// unknownZone returns what TZ says where that is not understood; "" where it is. Go then
// takes UTC for local time, without a word.
func unknownZone() string {
	name := strings.TrimPrefix(os.Getenv("TZ"), ":")
	if name == "" || runtime.GOOS == "windows" { // there TZ means nothing
		return ""
	}
	var err error
	if strings.HasPrefix(name, "/") {
		var data []byte
		if data, err = os.ReadFile(name); err == nil {
			_, err = time.LoadLocationFromTZData(name, data)
		}
	} else {
		_, err = time.LoadLocation(name)
	}
	if err == nil {
		return ""
	}
	return name
}
