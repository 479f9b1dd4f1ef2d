// Package dbtest starts database servers for tests, each with a folder and a
// port of its own on the loopback interface. The servers are Debian's; one that
// is not installed is an error, never a skipped test.
package dbtest
