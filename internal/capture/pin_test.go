package capture

import (
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/internal/testdb"
)

// While commits come fast the transaction is held, but not on read mark 0 and not for a long log;
// writers and their checkpoints go on, and nothing is missed.
func TestPin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.db")
	a := testdb.StartChurn(t, path, 1, "PRAGMA journal_mode=wal; PRAGMA synchronous=OFF; PRAGMA busy_timeout=0; "+testdb.ChurnSchema)
	s := newScene(t, path)
	s.capture()
	frames := func(n int) { // of as many commits
		for range n / 10 {
			a.Exec(0, "INSERT INTO t(b) VALUES(zeroblob(28000))")
		}
	}
	look := func(what string, want Hold) Outcome {
		t.Helper()
		s.chain.pin.begun = time.Now().Add(-time.Millisecond) // however long the test took for the commits
		if want == Free {
			s.chain.pin.begun = time.Now().Add(-time.Hour)
		}
		out := s.capture()
		if out.Way == Compared || out.Hold != want {
			t.Errorf("%s: %+v", what, out)
		}
		if want == Pinned {
			if mark, ok := s.chain.pin.tx.Conn().ReadMark(); !ok || mark == 0 {
				t.Errorf("%s: read mark %d, %v", what, mark, ok)
			}
		}
		return out
	}
	a.Exec(0, "INSERT INTO t(a) VALUES(1)")
	look("a commit", Free)
	frames(700)
	first := look("fire", Pinned)
	if first.Early != heldFrames(s.pageSize) {
		t.Errorf("the next look is due at frame %d", first.Early)
	}
	frames(2000) // SQLite would have begun the log again by now
	if second := look("fire", Pinned); second.Log.Salts != first.Log.Salts {
		t.Error("the log was begun again under a pin")
	}
	frames(3000)
	long := look("a long log", LetGo)
	if long.Early <= long.Log.LastFrame {
		t.Errorf("%+v", long)
	}
	frames(700) // a checkpoint copies all of it, and the next commit begins it again
	if again := look("begun again", Pinned); again.Log.Salts == long.Log.Salts {
		t.Error("the log goes on without an end")
	}
	frames(500)
	if err := s.chain.pin.letGo(); err != nil {
		t.Fatal(err)
	}
	s.chain.pin.fire = true
	a.Exec(0, "PRAGMA wal_checkpoint(FULL)")
	look("all copied", LetGo)
	a.Exec(0, "INSERT INTO t(a) VALUES(1)")
	look("slow again", Free)
	s.close()
}
