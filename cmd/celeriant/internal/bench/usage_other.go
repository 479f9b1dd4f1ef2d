//go:build !unix

package bench

// usageNow tells that processor time is not measured here.
func usageNow() (u usage, known bool) { return usage{}, false }
