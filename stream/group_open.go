package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
	"github.com/celeriant/celeriant-go/msg"
)

// Ownership decides who may store cursors under a name.
type Ownership uint8

const (
	// SingleOwner: the whole subscription has one owner. The process that opens it last goes on,
	// and the one before ends with [checkpoint.ErrFenced].
	SingleOwner Ownership = iota
	// Leased: the subscription is divided into partitions, and those who open it share
	// them, in one process or in several. When one ends the others take over. The
	// store must be a [checkpoint.RecordStore], as all stores of this library are.
	Leased
)

// String returns the option's name.
func (o Ownership) String() string {
	switch o {
	case SingleOwner:
		return "SingleOwner"
	case Leased:
		return "Leased"
	}
	return fmt.Sprintf("ownership %d", uint8(o))
}

// PartitionBy is the unit that is never divided: all aggregates of one unit are in one
// partition, and with one owner.
type PartitionBy = lease.By

// The units of partitions.
const (
	ByAggregate = lease.ByAggregate
	ByType      = lease.ByType
	ByOrg       = lease.ByOrg
)

func (o Options) checkLeases() error {
	switch {
	case o.Ownership > Leased:
		return fmt.Errorf("stream: option Ownership is %d: want SingleOwner or Leased", o.Ownership)
	case o.Ownership == SingleOwner:
		return nil
	case !o.Range.Whole():
		return fmt.Errorf("stream: option Range is %v with Leased: partitions take its place", o.Range)
	case o.Start == LiveOnly:
		return errors.New("stream: option Start is LiveOnly with Leased: it keeps no position that could be shared")
	case o.Partitions > lease.MaxPartitions:
		return fmt.Errorf("stream: option Partitions is %d: want 1 to %d", o.Partitions, lease.MaxPartitions)
	case o.PartitionBy > ByOrg:
		return fmt.Errorf("stream: option PartitionBy is %v: want ByAggregate, ByType or ByOrg", o.PartitionBy)
	case len(o.HandlerVersion) > lease.MaxHandler:
		return fmt.Errorf("stream: option HandlerVersion has %d bytes: the limit is %d", len(o.HandlerVersion), lease.MaxHandler)
	case o.Member != "" && checkpoint.CheckName(o.Member) != nil:
		return fmt.Errorf("stream: option Member: %w", checkpoint.CheckName(o.Member))
	}
	if _, ok := o.Store.(checkpoint.RecordStore); !ok {
		return fmt.Errorf("stream: option Ownership is Leased: a %T keeps no records", o.Store)
	}
	if err := lease.CheckTTL(o.LeaseTTL); err != nil {
		return fmt.Errorf("stream: option LeaseTTL: %w", err)
	}
	return nil
}

// declaration is what the options want the subscription to be.
func (s *Subscription) declaration() lease.Declaration {
	return lease.Declaration{
		Rule:       func(ctx context.Context) (lease.Rule, error) { return findRule(ctx, s.src), nil },
		Partitions: s.opts.Partitions,
		By:         s.opts.PartitionBy,
		Scope:      s.opts.text(s.scope),
		Handler:    s.opts.HandlerVersion,
		Adopt:      s.opts.AdoptScope,
	}
}

func (s *Subscription) declare(ctx context.Context) error {
	now := time.Now()
	d, err := lease.Declare(ctx, s.opts.Store.(checkpoint.RecordStore), s.opts.Name, s.declaration())
	if err != nil {
		return fmt.Errorf("stream: dividing the checkpoint of %q: %w", s.opts.Name, err)
	}
	s.member = newMembership(s, d)
	s.member.startsAt, err = s.startsAt(ctx, now)
	return err
}

// join becomes a member of the group, if leases are wanted.
func (s *Subscription) join() error {
	if s.member == nil {
		return nil
	}
	want := s.member.definition
	want.Wanted = s.opts.Partitions
	return s.member.join(s.opts.Store.(checkpoint.RecordStore), want)
}

// release gives up what is leased, once the handlers have stored what they handled.
func (s *Subscription) release() {
	if s.member == nil {
		return
	}
	_ = s.handlers.Wait(context.Background())
	ctx, cancel := context.WithTimeout(context.Background(), lastCommit)
	defer cancel()
	s.member.leave(ctx)
}

// Repartition gives a subscription with leases another number of partitions. Cursors
// stay as they are; all members claim again, and those that were opened with another
// number end with a [*lease.DefinitionError]. src tells how the cluster divides
// aggregates, so that partitions follow shards; with nil they follow those that they did.
func Repartition(ctx context.Context, src Source, store checkpoint.RecordStore, name string, partitions uint32) error {
	var rule func(context.Context) (lease.Rule, error)
	if src != nil {
		rule = func(ctx context.Context) (lease.Rule, error) { return findRule(ctx, src), nil }
	}
	_, err := lease.Repartition(ctx, store, name, partitions, rule)
	if err != nil {
		return fmt.Errorf("stream: repartitioning %q: %w", name, err)
	}
	return nil
}

// findRule finds out, without a side effect, how the cluster divides aggregates among
// its shards: a watch that names no shard and ids of one kind only is accepted for
// exactly the kind that is routed by, if they are of one shard. Of {1, shards} that is
// so only where shard 0 is reserved. A count that cannot be found out is unknown: partitions do
// not follow shards then, and everything else is the same.
func findRule(ctx context.Context, src Source) lease.Rule {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	shards, err := src.Shards(ctx)
	if err != nil {
		return lease.Rule{}
	}
	rule := lease.Rule{Shards: shards}
	ids := []msg.ID{msg.IDFromUint64(1)}
	if shards > 1 {
		ids = append(ids, msg.IDFromUint64(shards))
	}
	for _, routing := range []msg.RoutingRule{msg.RouteByAggregate, msg.RouteByType, msg.RouteByOrg} {
		request := &msg.WatchRequest{}
		switch routing {
		case msg.RouteByAggregate:
			request.Aggregates = ids
		case msg.RouteByType:
			request.Types = ids
		case msg.RouteByOrg:
			request.Orgs = ids
		}
		watch, err := src.Watch(ctx, false, request)
		var refusal *msg.ServerError
		switch {
		case err == nil:
			_ = watch.Close()
			rule.Known, rule.Routing, rule.Reserved = true, routing, shards > 1
			return rule
		case !errors.As(err, &refusal):
			return rule
		case refusal.Code == msg.CodeSeveralShards:
			rule.Known, rule.Routing = true, routing
			return rule
		case refusal.Code != msg.CodeRouting:
			return rule
		}
	}
	return rule
}
