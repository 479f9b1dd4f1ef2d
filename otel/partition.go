package otel

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
)

// partitionsEvery is how often a store is asked, however often metrics are collected;
// partitionsPatience how long a collection waits for its answer.
const (
	partitionsEvery    = 5 * time.Second
	partitionsPatience = 2 * time.Second
)

// WatchPartitions observes who owns the partitions of a name, as its members told the store,
// each time metrics are collected, until the function that it returns is called: those owned
// by the subscriptions of this process (see [Telemetry.Watch]), by others, and by nobody.
// Partitions that a verdict has stopped count as none of them.
//
// The store is asked once in five seconds at most. While it does not answer, and for a
// subscription that is not shared by leases, nothing is observed. Each process of a fleet
// observes all partitions: take the maximum over processes, not the sum.
//
// The members of a store that one process alone can have open ([checkpoint.Exclusive]) write
// no heartbeats. The figures are taken from the subscriptions that are watched: watch all of
// them.
func (t *Telemetry) WatchPartitions(name string, store checkpoint.RecordStore) (unwatch func(), err error) {
	d := &divided{telemetry: t, name: name, group: t.groups.value(name), store: store}
	return t.watch(d.observe, t.partitions)
}

// divided is a name whose partitions are observed.
type divided struct {
	telemetry   *Telemetry
	name, group string
	store       checkpoint.RecordStore

	mu       sync.Mutex
	asked    time.Time
	progress lease.Progress // zero when the store did not answer
}

func (d *divided) observe(ctx context.Context, o metric.Observer) error {
	progress := d.ask(ctx)
	if progress.Definition.Generation == 0 {
		return nil
	}
	all := max(0, int(progress.Definition.Count())-len(progress.Stopped))
	members, mine := d.telemetry.owned(d.group)
	owned := max(0, all-len(progress.Unowned))
	if alone, ok := d.store.(checkpoint.Exclusive); ok && alone.Exclusive() {
		if members == 0 {
			return nil
		}
		owned = min(all, mine)
	}
	mine, unowned := min(owned, mine), all-owned
	for _, s := range []struct {
		state string
		n     int
	}{{"mine", mine}, {"other", owned - mine}, {"unowned", unowned}} {
		o.ObserveInt64(d.telemetry.partitions, int64(s.n), metric.WithAttributes(
			attribute.String(group, d.group), attribute.String(state, s.state)))
	}
	return nil
}

// ask returns what the store told last.
func (d *divided) ask(ctx context.Context) lease.Progress {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.asked) >= partitionsEvery {
		d.asked = now
		ctx, cancel := context.WithTimeout(ctx, partitionsPatience)
		defer cancel()
		// An error leaves zero: what is not known is not observed.
		d.progress, _ = lease.ReadProgress(ctx, d.store, d.name)
	}
	return d.progress
}

// owned counts the watched subscriptions of a group, and their partitions.
func (t *Telemetry) owned(group string) (members, partitions int) {
	for _, w := range t.watched() {
		if w.group == group {
			members++
			partitions += w.stats().Partitions
		}
	}
	return members, partitions
}
