// Package world is what the cases of the suite work with: a server, a pool of their own
// and an organisation that nobody else uses.
package world
