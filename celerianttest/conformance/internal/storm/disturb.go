package storm

import (
	"context"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/record"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// disturb takes the leader down three times while work flows, brings it back
// each time, and waits in between until changes go through again and every node
// follows: a cluster that loses its second node before the first one is back
// may have no node left that can lead.
func disturb(ctx context.Context, w *world.World, rec *record.Recorder, what string, down, up func(string) error) (times int, err error) {
	for range 3 {
		before := rec.Counted(record.Write)
		if err := flows(ctx, rec, before+50); err != nil {
			return times, fmt.Errorf("before a node is %s: %w", what, err)
		}
		if err := joined(ctx, w); err != nil {
			return times, fmt.Errorf("before a node is %s: %w", what, err)
		}
		pause(ctx, w.Server.Rest)
		leader, err := w.Pool.Leader(ctx)
		if err != nil {
			return times, err
		}
		rec.Add(record.Line{What: record.Fault, Text: leader + " " + what})
		if err := down(leader); err != nil {
			return times, err
		}
		times++
		if w.Server.Pair() { // the others go on without it
			err = flows(ctx, rec, rec.Counted(record.Write)+50)
		} else {
			pause(ctx, 300*time.Millisecond)
		}
		rec.Add(record.Line{What: record.Fault, Text: leader + " no longer " + what})
		if err := up(leader); err != nil {
			return times, err
		}
		if err != nil {
			return times, fmt.Errorf("while %s was %s: %w", leader, what, err)
		}
	}
	return times, flows(ctx, rec, rec.Counted(record.Write)+50)
}

// flows waits until so many writes were acknowledged.
func flows(ctx context.Context, rec *record.Recorder, writes int) error {
	for end := time.Now().Add(time.Minute); rec.Counted(record.Write) < writes; pause(ctx, 5*time.Millisecond) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d writes after a minute, waited for %d", rec.Counted(record.Write), writes)
		}
	}
	return nil
}

// joined waits until every node shows what is written now, twice: a node can
// come to show one write by catching up, and be no follower yet.
func joined(ctx context.Context, w *world.World) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	key := msg.Key{Org: world.RandomID(), Type: w.Type, Aggregate: world.RandomID()}
	for range 2 {
		version, err := w.Pool.WriteEvents(ctx, key, []msg.Event{world.Event(1, "probe")}, w.Client, pool.WriteOptions{})
		if err != nil && !msg.Ambiguous(err) {
			return err
		}
		for _, address := range w.Server.Addresses {
			node, err := w.Pool.At(address)
			if err != nil {
				return err
			}
			for shows := false; !shows; pause(ctx, 10*time.Millisecond) {
				d, err := node.Details(ctx, key)
				shows = err == nil && d.MaxVersion >= version
				if ctx.Err() != nil {
					return fmt.Errorf("%s does not show what was written a minute ago: %w", address, err)
				}
			}
		}
	}
	return nil
}
