// Package server serves the connections of a node: it reads requests, executes them on
// replicas, and sends answers and the frames of watches.
package server
