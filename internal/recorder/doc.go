// Package recorder keeps the change log of a database while a service is at work: it decides
// when to look (capture.Watch), what a log builds on, how long points stay, and which sealed segments are proven again.
//
//	         no base                          a look finds
//	  ┌────── waiting ◀──────────┐            ├─ nothing, or commits: appended ─▶ recording
//	  │         │ a backup       │            ├─ another file ─▶ judged by the host ─┐
//	Run ──▶ open the log ──▶ recording ──────┤                                       │ the same
//	            ▲                             ├─ commits that were captured are gone ─┤ database:
//	            │ a new timeline, a new log   ├─ another page size                    │ compared
//	            └─────────────────────────────┴───────────────────────────────────────┘
//	                                          └─ an error ─▶ stopped; again with growing pauses
//
// A state is appended only after a gate was passed with that very state pinned: no restore is
// being recorded, and the timeline is still the log's. So a log has captures of its own history only, also where
// a restore, a break or another process comes between two looks.
//
// # Locks
//
// The recorder's mutex is taken after the operation lock and before the catalog's. What takes the
// operation lock (Host.Judge, Host.Begin) is called without it.
package recorder
