// Package celeriant is a client of the Celeriant event store that turns the
// store's watch into resumable observables: every committed batch of a scope, in
// order per aggregate, without gaps or duplicates, across lost connections,
// restarts and redeployments.
//
//	client, err := celeriant.Connect("127.0.0.1:10000")
//	orders := client.Watch(celeriant.Types(org, orderType),
//		celeriant.WithName("orders"), celeriant.WithCheckpoints(store))
//
//	for change, err := range orders.All(ctx) { … }
//
// An [Observable] is cold: nothing happens until it is consumed, and each
// consumer has a subscription of its own. An Observable is resumable: with a
// checkpoint store a consumer goes on where the last one of that name stopped.
// There are five ways to consume it:
//
//   - [Observable.All] and [Observable.Run] give one change after another;
//   - [Observable.Subscribe] gives the subscription itself, with Next and Commit;
//   - the embedded rxgo.Observable, whose items are *Change, and
//     [Observable.Slices], whose items are []Change;
//   - package operators: ForEach with retries and progress, Project into a SQL
//     database exactly once, and operators that keep positions.
//
// Reads, writes and everything else of the protocol are on [Client.Pool];
// [Client.WriteEvents] is there for the most frequent of them.
package celeriant
