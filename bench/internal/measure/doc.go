// Package measure runs programs and reports their cost: time on the wall and of
// the processors, and the most memory they held.
package measure
