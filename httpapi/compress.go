package httpapi

import (
	"bytes"
	"compress/gzip"
	"net/http"
)

// compressFrom is from how many bytes of JSON on compressing saves packets.
const compressFrom = 2 << 10

// compress returns raw compressed, and says so in the header, where the client accepts
// that and it is worth it. It compresses answers to GET only: any other one could
// show something secret next to something chosen, whose length would reveal it. An ETag
// becomes a weak one, for it no longer stands for the bytes.
func compress(w http.ResponseWriter, status int, raw []byte) []byte {
	rw, ours := w.(*responseWriter)
	if !ours || !rw.get || status != http.StatusOK || len(raw) < compressFrom {
		return raw
	}
	w.Header().Add("Vary", "Accept-Encoding")
	if !rw.gzip {
		return raw
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return raw
	}
	if _, err := z.Write(raw); err != nil || z.Close() != nil {
		return raw
	}
	w.Header().Set("Content-Encoding", "gzip")
	if tag := w.Header().Get("ETag"); tag != "" {
		w.Header().Set("ETag", "W/"+tag)
	}
	return b.Bytes()
}
