// Package record holds what happens in a storm: one JSON line for every write,
// notification, delivery, commit and change of state.
package record
