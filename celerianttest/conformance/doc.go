// Package conformance tests a Celeriant server through its client port: what
// this module's pool and subscriptions rely on, and what they promise on top of
// it. The suite knows the server by its addresses only, so the same suite runs
// against the node of package celerianttest, a pair of them, and the reference
// server.
//
//	func TestServer(t *testing.T) {
//		conformance.Run(t, conformance.Target{Addresses: []string{"127.0.0.1:10000"}})
//	}
//
// [Pool] holds the half that needs requests only, [Stream] the half about
// subscriptions, with one subtest for each guarantee, G1 to G15. [Run] does
// both.
//
// # What it leaves behind
//
// Everything is written under organisations whose ids are drawn at random for
// the run, so a store may hold other data and may be used again. Nothing is
// cleaned up. Other clients may be at work meanwhile, but none may lead the
// nodes to refuse requests.
//
// # Faults
//
// Connections are cut, stalled and black-holed by a proxy of the suite's own. To
// kill, restart, pause and resume nodes it needs [Hooks]; what a missing hook
// would be needed for is no subtest of the run.
//
// # Records
//
// A storm is recorded: one JSON line for every write, notification, delivery,
// commit and change of state. The guarantees are judged from these lines alone.
// Where a guarantee is broken the record is kept in a file, which [Recheck]
// judges again.
package conformance
