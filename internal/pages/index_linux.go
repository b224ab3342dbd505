package pages

const exclusiveNeedsNoIndex = true
