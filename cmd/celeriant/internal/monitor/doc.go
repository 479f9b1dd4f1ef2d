// Package monitor serves what a command that goes on running tells of itself: the status page,
// health checks and metrics.
package monitor
