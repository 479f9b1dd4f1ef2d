package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/disk"
	"github.com/celeriant/celeriant-go/celerianttest/internal/refusal"
	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/celerianttest/internal/watch"
	"github.com/celeriant/celeriant-go/msg"
)

// Replica is this node's copy of one shard: its data, its file and its
// subscribers.
//
// Mu guards the shard and the set of subscribers. Mu is held for the time of
// one operation on memory, never while reading or writing a socket or a file.
// Making records readable and offering their notifications is one step under
// Mu, so without Options.ReadLag a notification is never ahead of what a read
// shows (server semantics 7.3).
type Replica struct {
	Index          int                   // of the shard
	Role           *atomic.Pointer[Role] // the node's
	Partner        Partner               // nil for a node on its own
	Delay          time.Duration         // how long a commit group is collected
	MaxUndelivered int                   // of undelivered notifications per subscriber
	MaxWatchers    int                   // of subscribers

	Mu       sync.Mutex
	Shard    *shard.Shard
	Watchers map[*Subscriber]struct{}
	forming  *Group   // the commit group new records join; nil when none is open
	failed   error    // why the file cannot take any more records
	ReadLag  *readLag // nil where what is committed is shown at once

	// Storing serialises commit groups; it is taken before Mu. Stored and File
	// belong to its holder.
	Storing sync.Mutex
	File    *disk.Log // nil when everything is kept in memory
	Stored  uint64    // position of the newest record in the file
}

// Partner takes part in every commit of a leader: it returns once the records
// of a shard are where no single failure loses them, and committed. An error
// means that this is not known. Of a node that does not lead in the term any
// more nothing is committed.
type Partner interface {
	Replicate(ctx context.Context, index int, term uint64) error
}

// ErrReplication says that a change is in the leader's log, and that nobody knows
// whether it will stay.
var ErrReplication = errors.New("replication failed")

// Group is a number of records that become readable together.
type Group struct {
	term uint64 // in which its records were accepted
	done chan struct{}
	Err  error  // set before done is closed
	upTo uint64 // where it ends in the log, as soon as it collects no more
}

// Subscriber is one watch on the shard.
type Subscriber struct {
	filter *watch.Filter
	Queue  *watch.Queue
}

// Mutate applies a change of some kind and returns when it is readable.
func (r *Replica) Mutate(ctx context.Context, kind msg.RequestType, change func(*shard.Shard) *refusal.Refusal) *refusal.Refusal {
	g, leads, no := r.Enter(kind, change)
	if no != nil || g == nil {
		return no
	}
	if leads {
		r.Lead(ctx, g)
	}
	<-g.done
	if g.Err == nil {
		r.awaitShown(ctx, g.upTo)
	}
	return unknown(kind, g.Err)
}

// Enter applies a change. Without a file, delays and a partner it is committed
// on the spot and there is no group; else the caller waits for the group it
// joined, and leads it if it is the first.
//
// Whether the node accepts is asked again under the lock that a node holds to
// become a follower: nothing may be appended after that.
func (r *Replica) Enter(kind msg.RequestType, change func(*shard.Shard) *refusal.Refusal) (g *Group, leads bool, no *refusal.Refusal) {
	r.Mu.Lock()
	defer r.Mu.Unlock()
	if r.failed != nil {
		return nil, false, unknown(kind, r.failed)
	}
	role := r.Role.Load()
	if no := role.Check(kind); no != nil {
		return nil, false, no
	}
	before := r.Shard.Tail()
	if no := change(r.Shard); no != nil || r.Shard.Tail() == before {
		return nil, false, no
	}
	if r.File == nil && r.Delay == 0 && r.Partner == nil && r.ReadLag == nil {
		r.Commit(r.Shard.Tail())
		return nil, false, nil
	}
	if r.forming != nil && r.forming.term == role.Term {
		return r.forming, false, nil
	}
	r.forming = &Group{term: role.Term, done: make(chan struct{})}
	return r.forming, true, nil
}

// Lead collects a group, stores it and commits it. While an earlier group is
// being stored this one goes on collecting.
func (r *Replica) Lead(ctx context.Context, g *Group) {
	defer close(g.done)
	if r.Delay > 0 {
		Pause(ctx, r.Delay)
	}
	if r.Partner != nil {
		// Without storing: groups of a pair wait for each other in the pair, and
		// nobody may wait for a mutex while its holder waits for time to pass.
		r.complete(g)
		g.Err = r.Partner.Replicate(ctx, r.Index, g.term)
		return
	}
	r.Storing.Lock()
	defer r.Storing.Unlock()
	g.Err = r.store(r.complete(g))
}

// complete ends the collecting of a group and returns how far the log reaches.
func (r *Replica) complete(g *Group) uint64 {
	r.Mu.Lock()
	defer r.Mu.Unlock()
	if r.forming == g {
		r.forming = nil
	}
	g.upTo = r.Shard.Tail()
	return g.upTo
}

// store writes the log to the file up to a position and commits it. The caller
// holds storing.
func (r *Replica) store(upTo uint64) error {
	r.Mu.Lock()
	err := r.failed
	records := r.Shard.Records(r.Stored, 0)
	r.Mu.Unlock()
	if err == nil && r.File != nil {
		records = records[:upTo-r.Stored]
		err = r.File.Append(records)
	}
	r.Mu.Lock()
	defer r.Mu.Unlock()
	if err != nil {
		r.fail(err)
		return err
	}
	r.Stored = upTo
	r.Announce(upTo)
	return nil
}

// fail gives up on the file: nothing that is not in it may ever be shown, nor
// may anything build on it.
func (r *Replica) fail(err error) {
	r.failed = err
	if err := r.Shard.TruncateTo(r.Shard.Committed()); err != nil {
		panic(err) // the position was asked for under the same lock
	}
}

// Commit makes the records up to a position readable and tells the
// subscribers. The caller holds Mu.
func (r *Replica) Commit(upTo uint64) { r.tell(r.Shard.Commit(upTo)) }

// tell offers notifications to the subscribers. The caller holds Mu.
func (r *Replica) tell(notifications []msg.Notification) {
	for i := range notifications {
		n := &notifications[i]
		for w := range r.Watchers {
			if w.filter.Match(n) && !w.Queue.Offer(*n) {
				delete(r.Watchers, w)
			}
		}
	}
}

// Subscribe registers a watch; whatever commits from now on is offered to it.
func (r *Replica) Subscribe(req *msg.WatchRequest) (*Subscriber, *refusal.Refusal) {
	r.Mu.Lock()
	defer r.Mu.Unlock()
	if active := len(r.Watchers); active >= r.MaxWatchers {
		return nil, refusal.New(msg.CodeWatchSubscribers,
			fmt.Sprintf(`{"active_subscribers":%d,"max_subscribers":%d}`, active, r.MaxWatchers))
	}
	w := &Subscriber{filter: watch.NewFilter(req), Queue: watch.NewQueue(r.MaxUndelivered)}
	r.Watchers[w] = struct{}{}
	return w, nil
}

// Unsubscribe ends a watch. Ending it again does nothing.
func (r *Replica) Unsubscribe(w *Subscriber) {
	r.Mu.Lock()
	defer r.Mu.Unlock()
	delete(r.Watchers, w)
}

// Look runs a read-only operation on the shard.
func (r *Replica) Look(at func(*shard.Shard)) {
	r.Mu.Lock()
	defer r.Mu.Unlock()
	at(r.Shard)
}

// Restart does to the shard's memory what killing the process does, and gives
// a file that failed another chance. Nobody else uses the replica at that time.
func (r *Replica) Restart() error {
	r.Mu.Lock()
	defer r.Mu.Unlock()
	if r.failed != nil {
		if err := r.File.CutTail(); err != nil {
			return fmt.Errorf("celerianttest: restarting: %w", err)
		}
		r.failed = nil
	}
	r.showAll()
	r.Shard.Restart()
	return nil
}

// unknown refuses a change of which nobody can say whether it will stay: the
// file failed, or the partner.
func unknown(kind msg.RequestType, err error) *refusal.Refusal {
	if err == nil {
		return nil
	}
	code := failuresOf[kind].sync
	if errors.Is(err, ErrReplication) {
		code = failuresOf[kind].replication
	}
	return refusal.New(code, fmt.Sprintf(`{"detail":%s}`, refusal.Quote(err.Error())))
}

// Pause waits for d or until ctx ends.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
