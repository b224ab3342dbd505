// Package notify notifies people when the protection of a database stops, and when it is back.
//
// The facts are the conditions that stand now and the new entries of the activity log. A decision, which is pure, turns
// them and a memory into messages and puts these into the outbox of each receiver; an executor delivers them.
//
//	facts ─▶ decide ─▶ outboxes ─▶ saved ─▶ sent ─▶ removed ─▶ saved
//	           ▲          │                   │
//	        memory ◀──────┘     failed: tried again, a minute later, then after twice as long, up to an hour
//
// The memory (notify.json in the backup directory) has the cursor in the log, what stands and when that was last reported, and
// the outboxes. It is saved before anything is sent, so that a message is delivered at least once; its id is the same each
// time. A message that is still waiting when the next one about the same condition comes is replaced by it: an outbox is
// never longer than there are conditions, and what it has is never out of date.
//
// A ping has no outbox. It says what is true now: a heartbeat while everything is well, a failure while something stands,
// and nothing where that is not known.
package notify
