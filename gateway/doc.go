// Package gateway serves the event store over gRPC: resumable subscriptions with
// payloads, reads and, if wished, writes, for clients of every language.
//
//	client, err := celeriant.Connect("127.0.0.1:10000")
//	server, err := gateway.NewServer(client, gateway.Options{})
//	err = server.Serve(listener)
//
// The interface is the package celeriant.gateway.v1 in the folder proto; package
// gatewaypb is the code generated from it, package client the Go client, package
// access decides who may do what, package web serves browsers.
//
// # Positions
//
// A subscription's position is one cursor for each aggregate. Three places can
// hold it: the gateway, under a name; the client, beside the effect of each
// change; or nobody. In all three a client acknowledges deliveries by number, and
// the acknowledgement is the credit for further ones.
//
// # Guarantees
//
// The promises of a subscription of package stream hold through the gateway, for a
// client that stores positions as the interface says. Exactly once in the client's
// own database needs the client to compare and set: a change takes effect only
// where the stored cursor equals the change's previous. With a position held by
// the gateway effects are at least once.
//
// # Concurrency
//
// Each subscription has three goroutines of the gateway's: one that receives, one
// that takes changes from the subscription and numbers them, one that sends. The
// three share the account of deliveries under one lock, which is not held while
// anything is waited for. A client that does not read cannot hold up the end.
package gateway
