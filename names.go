package celeriant

import (
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// The parts of subscriptions, under the names of package stream.
type (
	// Change is one step in the life of one aggregate, or CaughtUp.
	Change = stream.Change
	// Kind tells what a Change is.
	Kind = stream.Kind
	// Scope is what a subscription follows.
	Scope = stream.Scope
	// State is what a subscription is doing.
	State = stream.State
	// Subscription is one running consumption of an Observable.
	Subscription = stream.Subscription
)

// The kinds of changes, see package stream.
const (
	Batch      = stream.Batch
	Deleted    = stream.Deleted
	Reset      = stream.Reset
	Truncated  = stream.Truncated
	Unreadable = stream.Unreadable
	CaughtUp   = stream.CaughtUp
	Gained     = stream.Gained
	Lost       = stream.Lost
)

// Aggregates follows single aggregates, whether they exist yet or not.
func Aggregates(keys ...msg.Key) Scope { return stream.Aggregates(keys...) }

// Types follows every aggregate of the given types of one organisation, also
// those created later.
func Types(org msg.ID, types ...msg.ID) Scope { return stream.Types(org, types...) }

// Orgs follows every aggregate of the given organisations.
func Orgs(orgs ...msg.ID) Scope { return stream.Orgs(orgs...) }

// Union follows whatever one of the scopes follows.
func Union(scopes ...Scope) Scope { return stream.Union(scopes...) }

// Everything follows every aggregate of the store.
func Everything() Scope { return stream.Everything() }
