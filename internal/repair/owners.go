package repair

// owners notes what pages belong to, two bytes for each: parts of a database in which nothing is found take no memory.
type owners map[uint32]*[ownersPart]uint16

const ownersPart = 512

// of is the owner of page n, 0 for none.
func (o owners) of(n uint32) uint16 {
	if part := o[n/ownersPart]; part != nil {
		return part[n%ownersPart]
	}
	return 0
}

func (o owners) give(n uint32, to uint16) {
	part := o[n/ownersPart]
	if part == nil {
		part = new([ownersPart]uint16)
		o[n/ownersPart] = part
	}
	part[n%ownersPart] = to
}
