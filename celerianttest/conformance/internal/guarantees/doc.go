// Package guarantees holds the cases about subscriptions, one list for each of G1 to G15.
package guarantees
