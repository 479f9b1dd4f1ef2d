// Package memnet is a network inside the process: a listener and buffered
// connections with deadlines that behave like loopback TCP as far as a
// protocol can tell, and that let virtual time pass.
//
// Everything blocks on condition variables and timers of the standard library
// only, so inside a testing/synctest bubble a connection waiting for bytes or
// for room counts as durably blocked. net.Pipe would do that too, but it has
// no buffer: a node that notifies a slow watcher could never get ahead of it.
package memnet
