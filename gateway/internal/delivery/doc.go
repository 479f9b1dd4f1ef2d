// Package delivery keeps the account of one stream: which deliveries are
// outstanding, how much credit is left, and which acknowledgements are valid.
// The package decides and waits for nothing.
package delivery
