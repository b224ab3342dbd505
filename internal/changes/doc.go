// Package changes keeps the change log of a database: the pages that commits changed
// since a backup, in segments. Together with the backup they give the image at every
// capture, which is a recovery point.
//
//	directory of a timeline
//	  000004711-000005822_20251031_120000.chg.zst   sealed: never written again
//	  open.chg                                      appended to, and synced, at each capture
//
// # Segment
//
//	+------+---------------+---------------+   +---------------+------+------------+
//	| head | part          | part          | … | part          | seal | seek table |
//	+------+-------+-------+-------+-------+   +-------+-------+------+------------+
//	       | index | pages | index | pages |   | index | pages |
//	       +-------+-------+-------+-------+   +-------+-------+
//	       \_ a capture: one part or more; the last one's index says what it is _/
//
// In a segment that was merged from others a part may have its pages in the frame of one before: see packer.
//
// Pages are in zstd frames of up to 1 MiB of content, all else is in skippable frames: the
// container is package seekable's, and stock zstd reads it. An index has the numbers and
// digests of the pages in the frame that follows; it comes first, so that a log is read
// from front to back without decompressing anything. A sealed segment ends with a seal, the
// digest of all bytes before it, and the table of all frames.
//
// # What a crash leaves
//
// Append returns after a sync, so that what is missing or torn after a crash is at most the
// capture that was being written: Open cuts it off. A cut-off seal is cut off as well, and made again
// later. Of segments whose captures another one has, which a crash of Thin leaves, the smaller
// ones are removed.
//
// Every page is proven by its digest when it is read, no matter who wrote the file.
package changes
