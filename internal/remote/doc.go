// Package remote copies the backups and the change log of one database to a store off this machine, and reads them from there.
//
// Objects are written once and never changed (package store). Their names say all that is needed to find them again:
//
//	snapd.json                                      what this is: format, database, when and by whom it was begun
//	writers/000000003.json                          who writes here from then on
//	backups/000000057_ID.db.zst[.age]               the very archive, or age over it; 57 is the backup's number
//	changes/2/000004711-000005822_UTC.chg.zst[.age] a segment of the change log of timeline 2: captures 4711 to 5822, until UTC
//	catalog/000000012.json.zst[.age]                what is known of the backups; the names and archives say it, too
//
// In an id, each byte that is no letter, digit, "_" or "-" is a dot and two hexadecimal digits: data.v2 is data.2ev2.
package remote
