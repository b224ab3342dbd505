package snapshot

// SetCrashPoint has reach called at every point between two irreversible steps.
func SetCrashPoint(reach func(name string)) { crashPoint = reach }
