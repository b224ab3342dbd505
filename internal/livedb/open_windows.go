package livedb

// openPlain: pipes and sockets have no names among the files here.
const openPlain = 0
