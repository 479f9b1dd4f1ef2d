// Package operate holds the commands of those who operate consumers: positions, parked
// aggregates, owners, rebuilds and their state.
package operate
