package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"example.com/snapd/internal/lineage"
	"example.com/snapd/internal/seekable"
)

// Facts describe the origin of an archive, enough to rebuild its
// catalog entry. All of it is optional; Note may be as long as the metadata
// limit of 1 MiB allows.
type Facts struct {
	Seq           uint64    `json:"seq,omitempty"`
	Database      string    `json:"database,omitempty"` // base name
	Kind          string    `json:"kind,omitempty"`
	Trigger       string    `json:"trigger,omitempty"`
	Note          string    `json:"note,omitempty"`
	Pinned        bool      `json:"pinned,omitempty"`
	CreatedAt     time.Time `json:"created_at,omitzero"`
	DurationMS    int64     `json:"duration_ms,omitempty"`
	JournalMode   string    `json:"journal_mode,omitempty"`
	UserVersion   int64     `json:"user_version,omitempty"`   // an int32
	ApplicationID int64     `json:"application_id,omitempty"` // an int32
	SchemaVersion int64     `json:"schema_version,omitempty"`
	Encoding      string    `json:"encoding,omitempty"`
	AutoVacuum    string    `json:"auto_vacuum,omitempty"`
	SQLiteVersion string    `json:"sqlite_version,omitempty"`
	// Timeline is the history that the image is of, Contents what it is recognised by.
	Timeline lineage.Timeline `json:"timeline"`
	Contents lineage.Facts    `json:"contents"`
	// Point is the recovery point whose state was read, PointSum the sum of its image: where that is
	// the archive's, the image is the point's.
	Point    string `json:"point,omitempty"`
	PointSum string `json:"point_sum,omitempty"`
	// CheckLevel is the level of the integrity check that the image passed in
	// its own transaction, "" when there was none.
	CheckLevel string `json:"check_level,omitempty"`
}

// Info describes an archive. PageSize is 0 only for an image without pages.
type Info struct {
	FormatVersion int
	PageSize      int // bytes
	PageCount     int64
	ImageBytes    int64  // PageSize × PageCount
	ImageBLAKE3   string // lower-case hex
	Sum           Sum
	FrameBytes    int // of image in every frame but the last
	Frames        int
	ArchiveBytes  int64
	Facts
}

// metadata is the JSON document of the metadata frame. Readers ignore fields
// that they do not know.
type metadata struct {
	PageSize    int    `json:"page_size"`
	PageCount   int64  `json:"page_count"`
	FrameBytes  int    `json:"frame_bytes"`
	PageSeed    string `json:"page_seed"`
	Sum         string `json:"sum"` // its digits
	ImageBLAKE3 string `json:"image_blake3"`
	FramesSum   string `json:"frames_sum,omitempty"` // digits, of the frame digests; "" where there are none
	Level       Level  `json:"level,omitempty"`
	Facts       Facts  `json:"facts"`

	version int // of the format, from the trailer
}

func (m metadata) imageBytes() int64 { return int64(m.PageSize) * m.PageCount }

// frames is the number of data frames.
func (m metadata) frames() int64 { return ceilDiv(m.imageBytes(), int64(m.FrameBytes)) }

func (m metadata) digestFrames() int64 { return ceilDiv(m.PageCount, digestsPerFrame) }

// otherFrames is the number of skippable frames in the seek table.
func (m metadata) otherFrames() int64 {
	if m.FramesSum == "" {
		return m.digestFrames() + 1
	}
	return m.digestFrames() + 2
}

// info describes an archive whose metadata passed check.
func (m metadata) info(archiveBytes int64) Info {
	sum, _ := ParseSum(m.PageCount, m.Sum) // check has parsed it
	return Info{
		FormatVersion: m.version,
		PageSize:      m.PageSize,
		PageCount:     m.PageCount,
		ImageBytes:    m.imageBytes(),
		ImageBLAKE3:   m.ImageBLAKE3,
		Sum:           sum,
		FrameBytes:    m.FrameBytes,
		Frames:        int(m.frames()),
		ArchiveBytes:  archiveBytes,
		Facts:         m.Facts,
	}
}

func decodeMetadata(b []byte) (metadata, error) {
	var m metadata
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%w: metadata: %w", ErrDamaged, err)
	}
	return m, m.check()
}

// check proves that no arithmetic on m overflows and every buffer sized from
// it is bounded.
func (m metadata) check() error {
	switch {
	case m.PageSize == 0 && m.PageCount == 0:
	case !validPageSize(m.PageSize):
		return fmt.Errorf("%w: metadata: page size %d", ErrDamaged, m.PageSize)
	case m.PageCount < 0:
		return fmt.Errorf("%w: metadata: page count %d", ErrDamaged, m.PageCount)
	}
	if m.PageCount > maxPages {
		return fmt.Errorf("%w: %d pages, at most %d", ErrLimit, m.PageCount, int64(maxPages))
	}
	if m.FrameBytes <= 0 || m.PageSize > 0 && m.FrameBytes%m.PageSize != 0 {
		return fmt.Errorf("%w: metadata: frames of %d bytes for pages of %d", ErrDamaged, m.FrameBytes, m.PageSize)
	}
	if m.FrameBytes > seekable.MaxFrameBytes {
		return fmt.Errorf("%w: frames of %d bytes, at most %d", ErrLimit, m.FrameBytes, seekable.MaxFrameBytes)
	}
	if n := m.frames(); n > maxFrames {
		return fmt.Errorf("%w: %d frames, at most %d", ErrLimit, n, maxFrames)
	}
	_, errSeed := ParseSeed(m.PageSeed)
	_, errSum := ParseSum(m.PageCount, m.Sum)
	var errFrames error
	if m.FramesSum != "" {
		_, errFrames = ParseSum(m.frames(), m.FramesSum)
	}
	if err := errors.Join(errSeed, errSum, errFrames); err != nil {
		return fmt.Errorf("%w: metadata: %w", ErrDamaged, err)
	}
	if !isHex(m.ImageBLAKE3, blake3Bytes) {
		return fmt.Errorf("%w: metadata: image_blake3 is not %d bytes in lower-case hex", ErrDamaged, blake3Bytes)
	}
	return nil
}

// validPageSize is SQLite file format §1.3.2.
func validPageSize(n int) bool { return n >= 512 && n <= 65536 && n&(n-1) == 0 }

func isHex(s string, bytes int) bool {
	if len(s) != 2*bytes {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }
