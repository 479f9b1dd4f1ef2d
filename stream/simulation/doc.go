// Package simulation runs the whole client, pool and subscriptions, against an
// in-process node or pair over an in-memory network in virtual time. The
// package holds tests only.
//
// Everything a run does follows from one seed: the nodes and their options, the
// history, the writers, the faults, and the consumers, who are slow, fail, go
// away and come back, who change their scopes, start from now, or panic, alone or
// at a shared source. The changes that the consumers are handed are judged, as it comes and at
// the end, against a model of the true history. Eighty runs in which something
// of this has never happened fail.
//
//	go test ./stream/simulation -run Simulation -seed=123       one seed, its log in -v
//	go test ./stream/simulation -run Simulation -minutes=10     new seeds for ten minutes
//	go test ./stream/simulation -run Simulation -runs=5000      that many seeds; -failfast ends with the first that fails
//
// # Identical when repeated
//
// A run is repeatable as long as no two things that could affect each other
// happen in the same instant, because goroutines that wake together run in any
// order. So every delivery of the network, every call of a store, and every
// request, before it is made and when it is answered, takes a time of its own,
// some microseconds and odd nanoseconds that follow from the seed, the caller and
// the content. Nobody is given an instant that somebody else has; of those who
// begin to wait together, who gets which does not depend on who came first. Bytes that
// a node sends in the instant it is killed, restarted or cut do not travel, and its
// connections end one after the other. The intervals that the client draws by
// chance come from the seed, too: they are drawn from math/rand, which the tests
// seed. Goroutines that would draw in one instant do so one after the other.
//
// The log of a run is JSON lines: when, who, what. Lines of one instant have no
// order among themselves and are sorted by who. A test runs seeds twice and
// compares their logs line by line, with every instant at which anybody went on.
// Left out are the causes of what an owner gave up itself. Consumers that share a
// source hear of something in one instant, and each goes on at one of its own.
package simulation
