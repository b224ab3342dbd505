// Package trust says which other user could put something else at a path.
//
// A file is as safe as the directories and symbolic links on the way to it: the owner of any of
// them can exchange what comes after it, and so can every user in a directory that all may write,
// unless that is sticky. Where only root and the present user own them, a path names the same
// file twice, and nothing has to be looked at again.
//
// The members of a group that can write count for root only: most users have a group of their own,
// and who is in another user's is that user's affair.
package trust
