package auth

// openPlain: pipes have no names among the files here, and links need a right of their own.
const openPlain = 0
