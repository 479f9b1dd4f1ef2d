// Package cluster decides what the two nodes of a pair are to each other. It knows
// neither time nor data.
package cluster
