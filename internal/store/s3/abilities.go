package s3

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"sync"

	"example.com/snapd/internal/store"
)

// abilities is what is known about the store. Not all that speak the protocol have all of it: Backblaze B2 answers
// NotImplemented to conditions, Cloudflare R2 has checksums of whole objects as CRC64NVME only, others take a header that they do not
// know for an error, or ignore it. An ability is taken for given until the store answers that it has not got it; that it refuses
// a taken name is believed once it did so.
type abilities struct {
	mu        sync.Mutex
	condition ability
	checksum  ability
	unasked   bool   // to be asked for a checksum is an error there
	why       string // the condition is missing
	bucket    bool   // the bucket was there
}

type ability int

const (
	unknown ability = iota
	yes
	no
)

func (a *abilities) bucketSeen() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bucket
}

func (a *abilities) sawBucket() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bucket = true
}

func (a *abilities) askForChecksums() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.unasked
}

func (a *abilities) setUnasked() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unasked = true
}

func (a *abilities) get() (condition, checksum ability) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.condition, a.checksum
}

func (a *abilities) setCondition(is ability, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.condition, a.why, a.bucket = is, why, true
}

func (a *abilities) setChecksum(is ability) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.checksum, a.bucket = is, true
}

// Abilities implements [store.Store].
func (s *S3) Abilities() store.Abilities {
	s.known.mu.Lock()
	defer s.known.mu.Unlock()
	found := store.Abilities{Exclusive: s.known.condition == yes}
	switch s.known.condition {
	case unknown:
		found.Reason = "no object was stored yet that would show whether the store refuses a taken name by itself"
	case no:
		found.Reason = s.known.why
	}
	if s.known.checksum == yes {
		found.Checksum = "crc64nvme"
	}
	return found
}

// refused reports whether the store answered that it does not know something about the request.
func refused(err error) bool {
	response, ok := answer(err)
	if !ok {
		return false
	}
	switch response.Code {
	case "NotImplemented", "InvalidArgument", "InvalidRequest", "UnsupportedHeader":
		return true
	}
	// An answer to HEAD has no more than its status.
	return response.StatusCode == http.StatusNotImplemented || response.StatusCode == http.StatusBadRequest && response.Code == "400 Bad Request"
}

// checksum puts the base64 of one of the two into the form of store.Object; "" for neither.
func checksum(crc64nvme, sha256 string) string {
	for kind, text := range map[string]string{"crc64nvme:": crc64nvme, "sha256:": sha256} {
		if raw, err := base64.StdEncoding.DecodeString(text); err == nil && len(raw) > 0 && (kind == "crc64nvme:" || crc64nvme == "") {
			return kind + hex.EncodeToString(raw)
		}
	}
	return ""
}
