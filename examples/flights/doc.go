// Flights turns a week of real flights into events, writes them to a Celeriant
// node, and follows them with a projection that keeps a read model in SQLite:
// departures by airport and hour, arrivals at least an hour late by airline,
// cancellations, and where each aircraft was last.
//
//	go run ./examples/flights
//
// Each aircraft is an aggregate. Writing is idempotent: a batch is a command with a
// stable id, so that a second run writes nothing twice. Effects and
// cursors share one transaction, so that each batch is applied exactly once:
// kill the program at any moment and run it again, it goes on where it was and
// comes to the same totals.
//
// The files, in the order data passes through them: csv.go reads rows, events.go
// makes events and batches of them, producer.go writes these, projection.go
// follows and applies them to the tables of readmodel.go, goal.go knows when all
// is done, report.go prints the totals. main.go and run.go put them together.
package main
