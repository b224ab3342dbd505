// Package measure runs programs and tells what they cost: time on the wall and of
// the processors, and the most memory they held.
package measure
