// Package events is a registry of event types: which Go type stands for which event
// type of the store, in both directions.
//
//	var orders = events.MustRegistry(
//		events.JSON[OrderPlaced](1, 1),
//		events.Upcast(1, 0, func(old OrderPlacedV0) (OrderPlaced, error) { … }),
//		events.JSON[OrderShipped](2, 0),
//	)
//
//	event, err := orders.New(OrderShipped{Order: 7})  // major, minor, id, time, payload
//	value, err := orders.Decode(&event)               // an OrderShipped, never a *OrderShipped
//
// # Versions
//
// An event type has a major number, which says what happened, and a minor number,
// which says in what form it was written. [Upcast] lifts one minor to the next one
// that is declared, so that handlers know the newest form alone. Events of minors
// that are not declared are [Unknown], unless [Declaration.AnyMinor] says that a
// form can be read from them, too.
//
// # What cannot be decoded
//
// Events whose type is not declared, and encrypted ones, are no errors: they decode
// to [Unknown] and [Encrypted], so that a handler sees them and decides. A payload
// that its codec refuses is a *[DecodeError], an upcaster that fails an
// *[UpcastError].
//
// # Codecs
//
// [JSON] uses encoding/json. [WithCodec] takes any other [Codec].
package events
