// Package capture keeps a change log next to a live database: each Capture is a look at the
// database, and appends the pages in which it differs from the look before.
//
// There are two ways to find them, and the first that is proven is taken:
//
//	nothing was committed   the log's index, or the files' fingerprint, is the same   nothing is read or written
//	followed                the commits are all in the log (package walfollow)        their pages are read from there
//	compared                anything else                                             every page is read, and its digest
//	                                                                                  compared with the state before
//
// A state is known by the digests of its pages, 16 bytes each, which are kept in memory.
// Between looks a connection without a transaction may stay open, for as long as there are
// commits: with it the log's index lives on, and says how many there were. It holds no lock
// that an application waits for.
//
// When to look is decided by Watch. A program runs them in one goroutine:
//
//	for {
//		due, err := watch.Next(ctx) // ctx ended
//		if due == capture.Rest {
//			err = chain.Rest()
//			continue
//		}
//		out, err := chain.Capture(ctx, now)
//		watch.Looked(out, err)
//	}
package capture
