package snapshot

// crashPoint, when a test sets it, is told of every point between two
// irreversible steps, so that the test can kill the process there.
var crashPoint func(name string)

func (m *Manager) atPoint(name string) {
	if crashPoint != nil {
		crashPoint(name)
	}
}
