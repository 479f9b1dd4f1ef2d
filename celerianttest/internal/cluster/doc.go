// Package cluster decides what the two nodes of a pair are to each other. The
// package knows neither time nor data.
package cluster
