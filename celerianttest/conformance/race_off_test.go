//go:build !race

package conformance_test

// raced tells whether the race detector is in.
const raced = false
