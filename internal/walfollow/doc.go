// Package walfollow finds out from a write-ahead log which pages the commits between two
// looks at a database changed, or that this can no longer be found out.
//
// A look is the header of the log's index in a read transaction: a Position. Between two of
// them the log went on, or it was begun again, once or more often:
//
//	one generation                        the log begun again once
//
//	frames  1 … from … to                 before:  1 … from … last commit
//	             |----| the commits                    |------------| the old tail
//	                                      since:   1 … to, over the old frames
//	                                               |----|
//
// What is between is proven by the chain of checksums, from the one that the position
// before knows to the one that the position after knows. The old tail is there for as long as
// the new generation has not grown over it: frame from+1 says so. Where it is gone, or the
// log was cut, the number of commits that the index counted says whether there was one, but
// only while the index lived on: after a crash it is made again and counts from 0.
//
// Everything else is missed (MissedError), and the database has to be compared page by page.
// Nothing here is a guess: what Follow returns was proven, and ReadPage proves it again.
package walfollow
