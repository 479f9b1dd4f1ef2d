package lease

import (
	"context"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// Declaration is what a member wants a subscription to be.
type Declaration struct {
	// Rule is that of the cluster; partitions follow its shards if it is known when
	// the subscription is defined.
	Rule func(ctx context.Context) (Rule, error)
	// Partitions is the wanted count, 0 for what is stored, or 64.
	Partitions uint32
	By         By
	Scope      string
	Handler    string
	// Adopt defines the subscription anew where the stored definition is another
	// one: everybody has to claim again, and those who want the old one are refused.
	Adopt bool
}

// Declare returns the definition of a subscription, which it stores if there is none.
// A checkpoint with the same scope and one owner is divided: its cursors stay, its
// owner is fenced. Declare returns a [*DefinitionError] or a [*checkpoint.ScopeError]
// if what is stored is not what is wanted.
func Declare(ctx context.Context, store checkpoint.RecordStore, name string, want Declaration) (Definition, error) {
	for {
		d, err := declared(ctx, store, name, want)
		if err != nil || d.Generation != 0 {
			return d, err
		}
		d, err = declare(ctx, store, name, want)
		if err != nil || d.Generation != 0 {
			return d, err
		}
		// Somebody else was faster.
	}
}

// declared returns the definition that is in force, none if there is none or it is
// to be replaced.
func declared(ctx context.Context, store checkpoint.RecordStore, name string, want Declaration) (Definition, error) {
	records, _, err := store.Records(ctx, name, definitionKey)
	if err != nil || len(records) == 0 {
		return Definition{}, err
	}
	d, err := ParseDefinition(name, records[0].Value)
	if err != nil {
		return Definition{}, err
	}
	if err := d.Accept(name, want.definition()); err != nil {
		if want.Adopt {
			return Definition{}, nil
		}
		return Definition{}, err
	}
	return d, nil
}

func (w Declaration) definition() Definition {
	return Definition{Wanted: w.Partitions, By: w.By, Scope: w.Scope, Handler: w.Handler}
}

// declare stores a definition; none if somebody else changed what it was decided on.
func declare(ctx context.Context, store checkpoint.RecordStore, name string, want Declaration) (Definition, error) {
	stored, err := store.Describe(ctx, name)
	if err != nil {
		return Definition{}, err
	}
	next, err := want.next(ctx, store, name, stored)
	if err != nil {
		return Definition{}, err
	}
	claim := checkpoint.Claim{Name: name, Scope: next.ScopeText()}
	if stored.Claimed {
		claim.Replaces = []string{stored.Scope}
	}
	var scope *checkpoint.ScopeError
	owner, err := store.Acquire(ctx, claim)
	switch {
	case errors.As(err, &scope):
		return Definition{}, nil
	case err != nil:
		return Definition{}, err
	}
	// The record is written under the claim of the whole, so that only the newest
	// definition gets there.
	err = store.Apply(ctx, name, checkpoint.Mutation{
		Owners:  []checkpoint.Owner{owner},
		Records: []checkpoint.RecordChange{{Key: definitionKey, Value: next.Encode(), Any: true}},
	})
	if errors.Is(err, checkpoint.ErrFenced) && !errors.Is(err, checkpoint.ErrDeleted) {
		return Definition{}, nil
	}
	if err != nil {
		return Definition{}, err
	}
	return next, checkpoint.Signal(ctx, store, name)
}

// next is the definition that follows what is stored.
func (w Declaration) next(ctx context.Context, store checkpoint.RecordStore, name string, stored checkpoint.Ownership) (Definition, error) {
	if s, superseded, err := checkpoint.ParseSupersession(name, stored.Scope); err != nil {
		return Definition{}, err
	} else if superseded {
		return Definition{}, &checkpoint.SupersededError{Name: name, By: s.By}
	}
	before, divided, err := ParseScope(name, stored.Scope)
	if err != nil {
		return Definition{}, err
	}
	switch {
	case !stored.Claimed:
	case divided && before.Accept(name, w.definition()) == nil:
		return before, nil // the record is missing
	case !w.Adopt && divided:
		return Definition{}, before.Accept(name, w.definition())
	case !w.Adopt && stored.Scope != w.Scope:
		return Definition{}, &checkpoint.ScopeError{Name: name, Stored: stored.Scope, Wanted: w.Scope}
	}
	rule := Rule{}
	if w.Rule != nil {
		if rule, err = w.Rule(ctx); err != nil {
			return Definition{}, fmt.Errorf("lease: finding how the cluster divides aggregates: %w", err)
		}
	}
	wanted := w.Partitions
	if wanted == 0 {
		wanted = before.Wanted
	}
	d, err := Define(rule, wanted, w.By, w.Scope, w.Handler)
	if err != nil {
		return Definition{}, err
	}
	if divided {
		d.Generation = before.Generation + 1
		err = d.inheritStart(ctx, store, name, before)
	}
	return d, err
}

// inheritStart takes over how far the subscription's start from now is: it is made if it
// was made in every partition of the definition before.
func (d *Definition) inheritStart(ctx context.Context, store checkpoint.RecordStore, name string, before Definition) error {
	records, _, err := store.Records(ctx, name, checkpoint.PartitionPrefix)
	if err != nil {
		return err
	}
	made, partitions := uint32(0), make(map[uint32]Partition)
	for _, r := range records {
		q, ok := partitionOf(r.Key)
		if !ok || q >= before.Count() {
			continue
		}
		p, err := ParsePartition(r)
		if err != nil {
			return err
		}
		partitions[q] = p
		if p.Start != nil && p.Start.Made {
			made++
		}
	}
	d.Started = before.Started || made == before.Count()
	d.Claimed, d.Since = before.began(partitions)
	return nil
}

// began reports whether a partition was ever claimed, and when the first one was if the
// subscription starts from now; 0 otherwise.
func (d Definition) began(records map[uint32]Partition) (claimed bool, since uint64) {
	claimed, since = d.Claimed, d.Since
	for _, r := range records {
		claimed = claimed || r.Epoch > 0
		if r.Start != nil && (since == 0 || r.Start.Since < since) {
			since = r.Start.Since
		}
	}
	return claimed, since
}

// Repartition gives a subscription another number of partitions. Cursors stay where
// they are. All members claim again; those that want another number than the new one
// end with a [*DefinitionError]. With no rule the stored one stays: partitions follow the
// shards that they followed. Repartition returns the definition that is in force then.
func Repartition(ctx context.Context, store checkpoint.RecordStore, name string, partitions uint32, rule func(ctx context.Context) (Rule, error)) (Definition, error) {
	stored, err := store.Describe(ctx, name)
	if err != nil {
		return Definition{}, err
	}
	before, divided, err := ParseScope(name, stored.Scope)
	switch {
	case err != nil:
		return Definition{}, err
	case !stored.Claimed:
		return Definition{}, fmt.Errorf("lease: repartitioning %q: %w", name, checkpoint.ErrDeleted)
	case !divided:
		return Definition{}, fmt.Errorf("lease: subscription %q has one owner: it is divided when a member with leases opens it", name)
	}
	if rule == nil {
		rule = func(context.Context) (Rule, error) {
			return Rule{Shards: before.Classes, Known: before.Followed, Routing: before.Routing}, nil
		}
	}
	return Declare(ctx, store, name, Declaration{Rule: rule, Partitions: partitions, By: before.By, Scope: before.Scope, Handler: before.Handler, Adopt: true})
}
