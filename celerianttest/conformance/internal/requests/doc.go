// Package requests holds the cases about requests: what a client relies on that writes,
// reads, lists and watches.
package requests
