package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// disturb takes the leader down three times while work flows, brings it back
// each time, and waits in between until changes go through again and every node
// follows: a cluster that loses its second node before the first one is back
// may have no node left that can lead.
func (w *world) disturb(ctx context.Context, record *recorder, what string, down, up func(string) error) (times int, err error) {
	for range 3 {
		before := record.counted(aWrite)
		if err := w.flows(ctx, record, before+50); err != nil {
			return times, fmt.Errorf("before a node is %s: %w", what, err)
		}
		if err := w.joined(ctx); err != nil {
			return times, fmt.Errorf("before a node is %s: %w", what, err)
		}
		pause(ctx, w.target.rest())
		leader, err := w.pool.Leader(ctx)
		if err != nil {
			return times, err
		}
		record.add(line{What: aFault, Text: leader + " " + what})
		if err := down(leader); err != nil {
			return times, err
		}
		times++
		if w.target.pair() { // the others go on without it
			err = w.flows(ctx, record, record.counted(aWrite)+50)
		} else {
			pause(ctx, 300*time.Millisecond)
		}
		record.add(line{What: aFault, Text: leader + " no longer " + what})
		if err := up(leader); err != nil {
			return times, err
		}
		if err != nil {
			return times, fmt.Errorf("while %s was %s: %w", leader, what, err)
		}
	}
	return times, w.flows(ctx, record, record.counted(aWrite)+50)
}

// flows waits until so many writes were acknowledged.
func (w *world) flows(ctx context.Context, record *recorder, writes int) error {
	for end := time.Now().Add(time.Minute); record.counted(aWrite) < writes; pause(ctx, 5*time.Millisecond) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d writes after a minute, waited for %d", record.counted(aWrite), writes)
		}
	}
	return nil
}

// joined waits until every node shows what is written now, twice: a node can
// come to show one write by catching up, and be no follower yet.
func (w *world) joined(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	key := msg.Key{Org: randomID(), Type: w.typ, Aggregate: randomID()}
	for range 2 {
		version, err := w.pool.WriteEvents(ctx, key, []msg.Event{event(1, "probe")}, w.client, pool.WriteOptions{})
		if err != nil && !msg.Ambiguous(err) {
			return err
		}
		for _, address := range w.target.Addresses {
			node, err := w.pool.At(address)
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
