package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"example.com/snapd/internal/durable"
)

// proofsFile is in the backup directory, next to the ledgers, and no ledger's name.
const proofsFile = "remotes/.proven-keys.json"

// maxProofs bounds the file; a recipient has at most 2 KB.
const maxProofs = 1 << 20

// proofsDocument says of which recipients the identity was there, and when last.
type proofsDocument struct {
	Recipients map[string]time.Time `json:"recipients"`
}

// ReadProofs returns for which recipients a person has proved that copies sealed for them can be read, and when. There is
// none before RememberProof.
func ReadProofs(dir string) (map[string]time.Time, error) {
	f, err := durable.OpenRegular(filepath.Join(dir, proofsFile), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]time.Time{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read which keys are proven: %w", err)
	}
	defer f.Close()
	var doc proofsDocument
	if err := json.NewDecoder(io.LimitReader(f, maxProofs)).Decode(&doc); err != nil {
		return nil, fmt.Errorf("read which keys are proven: %s: %w", f.Name(), err)
	}
	if doc.Recipients == nil {
		doc.Recipients = map[string]time.Time{}
	}
	return doc.Recipients, nil
}

// RememberProof keeps in the backup directory that identities of the recipients were there, and read what was sealed for
// them. Of many recipients the latest proofs stay.
func RememberProof(dir string, recipients []string, at time.Time) error {
	proofs, err := ReadProofs(dir)
	if err != nil {
		proofs = map[string]time.Time{} // what cannot be read is worth no more than a new proof
	}
	for _, r := range recipients {
		proofs[r] = at.UTC()
	}
	const most = 100
	for len(proofs) > most {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(proofs)), func(a, b string) int { return proofs[a].Compare(proofs[b]) })
		delete(proofs, oldest)
	}
	b, err := json.MarshalIndent(proofsDocument{proofs}, "", "  ")
	if err != nil {
		return fmt.Errorf("remember that the key is proven: %w", err)
	}
	if _, err := os.Stat(dir); err != nil { // it is not made again here
		return fmt.Errorf("remember that the key is proven: %w", err)
	}
	path := filepath.Join(dir, proofsFile)
	err = durable.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = durable.WriteFile(path, append(b, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("remember that the key is proven: %w", err)
	}
	return nil
}
