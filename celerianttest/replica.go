package celerianttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/celerianttest/internal/watch"
	"github.com/celeriant/celeriant-go/msg"
)

// replica is this node's copy of one shard: its data, its file and its
// subscribers.
//
// mu guards the shard and the set of subscribers. It is held for the time of
// one operation on memory, never while reading or writing a socket or a file.
// Making records readable and offering their notifications is one step under
// mu, so without Options.ReadLag a notification is never ahead of what a read
// shows (server semantics 7.3).
type replica struct {
	index   int                   // of the shard
	role    *atomic.Pointer[role] // the node's
	partner partner               // nil for a node on its own
	delay   time.Duration         // how long a commit group is collected
	limit   int                   // of undelivered notifications per subscriber
	most    int                   // of subscribers

	mu       sync.Mutex
	shard    *shard.Shard
	watchers map[*subscriber]struct{}
	forming  *group   // the commit group new records join; nil when none is open
	failed   error    // why the file cannot take any more records
	readLag  *readLag // nil where what is committed is shown at once

	// storing serialises commit groups; it is taken before mu. stored and file
	// belong to its holder.
	storing sync.Mutex
	file    *logFile // nil when everything is kept in memory
	stored  uint64   // position of the newest record in the file
}

// partner takes part in every commit of a leader: it returns once the records
// of a shard are where no single failure loses them, and committed. An error
// means that this is not known. Of a node that does not lead in the term any
// more nothing is committed.
type partner interface {
	replicate(ctx context.Context, index int, term uint64) error
}

// group is a number of records that become readable together.
type group struct {
	term uint64 // in which its records were accepted
	done chan struct{}
	err  error  // set before done is closed
	upTo uint64 // where it ends in the log, as soon as it collects no more
}

// subscriber is one watch on the shard.
type subscriber struct {
	filter *watch.Filter
	queue  *watch.Queue
}

// mutate applies a change of some kind and returns when it is readable.
func (r *replica) mutate(ctx context.Context, kind msg.RequestType, change func(*shard.Shard) *refusal) *refusal {
	g, leads, no := r.enter(kind, change)
	if no != nil || g == nil {
		return no
	}
	if leads {
		r.lead(ctx, g)
	}
	<-g.done
	if g.err == nil {
		r.awaitShown(ctx, g.upTo)
	}
	return unknown(kind, g.err)
}

// enter applies a change. Without a file, delays and a partner it is committed
// on the spot and there is no group; else the caller waits for the group it
// joined, and leads it if it is the first.
//
// Whether the node accepts is asked again under the lock that a node holds to
// become a follower: nothing may be appended after that.
func (r *replica) enter(kind msg.RequestType, change func(*shard.Shard) *refusal) (g *group, leads bool, no *refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return nil, false, unknown(kind, r.failed)
	}
	role := r.role.Load()
	if no := role.check(kind); no != nil {
		return nil, false, no
	}
	before := r.shard.Tail()
	if no := change(r.shard); no != nil || r.shard.Tail() == before {
		return nil, false, no
	}
	if r.file == nil && r.delay == 0 && r.partner == nil && r.readLag == nil {
		r.commit(r.shard.Tail())
		return nil, false, nil
	}
	if r.forming != nil && r.forming.term == role.term {
		return r.forming, false, nil
	}
	r.forming = &group{term: role.term, done: make(chan struct{})}
	return r.forming, true, nil
}

// lead collects a group, stores it and commits it. While an earlier group is
// being stored this one goes on collecting.
func (r *replica) lead(ctx context.Context, g *group) {
	defer close(g.done)
	if r.delay > 0 {
		pause(ctx, r.delay)
	}
	if r.partner != nil {
		// Without storing: groups of a pair wait for each other in the pair, and
		// nobody may wait for a mutex while its holder waits for time to pass.
		r.complete(g)
		g.err = r.partner.replicate(ctx, r.index, g.term)
		return
	}
	r.storing.Lock()
	defer r.storing.Unlock()
	g.err = r.store(r.complete(g))
}

// complete ends the collecting of a group and returns how far the log reaches.
func (r *replica) complete(g *group) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forming == g {
		r.forming = nil
	}
	g.upTo = r.shard.Tail()
	return g.upTo
}

// store writes the log to the file up to a position and commits it. The caller
// holds storing.
func (r *replica) store(upTo uint64) error {
	r.mu.Lock()
	err := r.failed
	records := r.shard.Records(r.stored, 0)
	r.mu.Unlock()
	if err == nil && r.file != nil {
		records = records[:upTo-r.stored]
		err = r.file.append(records)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.fail(err)
		return err
	}
	r.stored = upTo
	r.announce(upTo)
	return nil
}

// fail gives up on the file: nothing that is not in it may ever be shown, nor
// may anything build on it.
func (r *replica) fail(err error) {
	r.failed = err
	if err := r.shard.TruncateTo(r.shard.Committed()); err != nil {
		panic(err) // the position was asked for under the same lock
	}
}

// commit makes the records up to a position readable and tells the
// subscribers. The caller holds mu.
func (r *replica) commit(upTo uint64) { r.tell(r.shard.Commit(upTo)) }

// tell offers notifications to the subscribers. The caller holds mu.
func (r *replica) tell(notifications []msg.Notification) {
	for i := range notifications {
		n := &notifications[i]
		for w := range r.watchers {
			if w.filter.Match(n) && !w.queue.Offer(*n) {
				delete(r.watchers, w)
			}
		}
	}
}

// subscribe registers a watch; whatever commits from now on is offered to it.
func (r *replica) subscribe(req *msg.WatchRequest) (*subscriber, *refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if active := len(r.watchers); active >= r.most {
		return nil, refuse(msg.CodeWatchSubscribers,
			fmt.Sprintf(`{"active_subscribers":%d,"max_subscribers":%d}`, active, r.most))
	}
	w := &subscriber{filter: watch.NewFilter(req), queue: watch.NewQueue(r.limit)}
	r.watchers[w] = struct{}{}
	return w, nil
}

func (r *replica) unsubscribe(w *subscriber) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.watchers, w)
}

// look runs a read-only operation on the shard.
func (r *replica) look(at func(*shard.Shard)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at(r.shard)
}

// restart does to the shard's memory what killing the process does, and gives
// a file that failed another chance. Nobody else uses the replica at that time.
func (r *replica) restart() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		if err := r.file.cutTail(); err != nil {
			return fmt.Errorf("celerianttest: restarting: %w", err)
		}
		r.failed = nil
	}
	r.showAll()
	r.shard.Restart()
	return nil
}

// unknown refuses a change of which nobody can say whether it will stay: the
// file failed, or the partner.
func unknown(kind msg.RequestType, err error) *refusal {
	if err == nil {
		return nil
	}
	code := failuresOf[kind].sync
	if errors.Is(err, errReplication) {
		code = failuresOf[kind].replication
	}
	return refuse(code, fmt.Sprintf(`{"detail":%s}`, quoteJSON(err.Error())))
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
