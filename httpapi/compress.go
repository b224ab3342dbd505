package httpapi

import (
	"bytes"
	"compress/gzip"
	"errors"
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
	small, err := gzipped(raw, gzip.BestSpeed)
	if err != nil {
		return raw
	}
	w.Header().Set("Content-Encoding", "gzip")
	if tag := w.Header().Get("ETag"); tag != "" {
		w.Header().Set("ETag", "W/"+tag)
	}
	return small
}

func gzipped(raw []byte, level int) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		return nil, err
	}
	_, err = z.Write(raw)
	err = errors.Join(err, z.Close())
	return b.Bytes(), err
}
