//go:build !linux

package pages

const exclusiveNeedsNoIndex = false
