// Package catalogfile keeps the index of the backups in one directory.
//
// The index is catalog.json. It is replaced atomically, written only under a
// cross-process lock held for milliseconds, and can be rebuilt from the archives
// at any time: what it alone knows are pins, notes and verification outcomes. A
// damaged one is kept under another name and rebuilt; one of a newer version is
// an error and stays as it is. Nothing is ever looked up by a path: ids resolve
// through the catalog only.
package catalogfile
