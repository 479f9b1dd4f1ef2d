// Package client is the Go client of a gateway: subscriptions like those of the
// library itself, without a connection to the event store.
//
//	c, err := client.Connect("gateway.example:10400", client.Options{Token: token, TLS: &tls.Config{}})
//	orders := c.Watch(stream.Types(org, orderType), client.WatchOptions{Name: "orders", Store: store})
//	err = operators.Project(ctx, orders, db, apply)
//
// An [Observable] is an operators.Source: ForEach, Project and the other operators
// work with it unchanged, and so does every checkpoint store. The position stays
// with the client, in its own store, beside its effects; the gateway keeps nothing.
// A position stored through a gateway continues at the event store directly and the
// other way round.
//
// A subscription reconnects by itself, to any gateway its address leads to. Changes
// delivered before are not delivered again within one subscription.
package client
