package stream

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
)

// leaseGroup runs the leases of one process at one store, for all its subscriptions with
// one TTL: it carries out what a lease.Process decides. Inputs are applied under a
// lock by whoever has one, as those of an engine are; requests run on goroutines of
// their own. The lock is taken before Subscription.step, never inside it.
type leaseGroup struct {
	key   leaseKey
	store checkpoint.RecordStore
	start time.Time
	// deadline is when the leases run out, nil if they cannot.
	deadline atomic.Pointer[lease.Instant]
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup

	mu      sync.Mutex
	process *lease.Process
	members map[string]*membership
	timer   *time.Timer
	over    bool
}

type leaseKey struct {
	store checkpoint.RecordStore
	ttl   time.Duration
}

// leaseGroups are those of this process. A group lives as long as it has members.
var leaseGroups struct {
	mu  sync.Mutex
	all map[leaseKey]*leaseGroup
}

// joinLeases adds a subscription to the group of its store, which it makes if there is
// none.
func joinLeases(store checkpoint.RecordStore, ttl time.Duration, m *membership, join lease.Membership) error {
	if !reflect.TypeOf(store).Comparable() {
		return fmt.Errorf("stream: leases of %q: a checkpoint store of type %T cannot be compared: pass a pointer", join.Name, store)
	}
	leaseGroups.mu.Lock()
	defer leaseGroups.mu.Unlock()
	key := leaseKey{store, ttl}
	g := leaseGroups.all[key]
	if g == nil {
		g = newLeaseGroup(key)
		if leaseGroups.all == nil {
			leaseGroups.all = make(map[leaseKey]*leaseGroup)
		}
		leaseGroups.all[key] = g
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	m.group = g
	g.members[join.ID] = m
	g.apply(func(now lease.Instant) { g.process.Join(now, join) })
	return nil
}

func newLeaseGroup(key leaseKey) *leaseGroup {
	exclusive, ok := key.store.(checkpoint.Exclusive)
	g := &leaseGroup{
		key:     key,
		store:   key.store,
		start:   time.Now(),
		members: make(map[string]*membership),
		process: lease.New(lease.Options{
			ID:    checkpoint.NewToken().String(),
			Host:  thisHost(),
			TTL:   key.ttl,
			Alone: ok && exclusive.Exclusive(),
			Ended: hostEnded,
			Token: checkpoint.NewToken,
		}),
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.timer = time.AfterFunc(time.Hour, g.tick)
	g.timer.Stop()
	return g
}

// left removes a member. The group ends with its last one.
func (g *leaseGroup) left(id string) {
	leaseGroups.mu.Lock()
	defer leaseGroups.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if delete(g.members, id); len(g.members) > 0 || g.over {
		return
	}
	g.over = true
	g.timer.Stop()
	g.cancel()
	delete(leaseGroups.all, g.key)
}

func (g *leaseGroup) now() lease.Instant { return lease.At(g.start, time.Now()) }

// input applies an input and carries out what follows.
func (g *leaseGroup) input(in func(now lease.Instant)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.apply(in)
}

func (g *leaseGroup) tick() { g.input(g.process.Tick) }

// second is how often the clocks are looked at while there are leases: a timer follows
// one of them only.
const second = time.Second

// apply is input for who holds the lock.
func (g *leaseGroup) apply(in func(now lease.Instant)) {
	if g.over {
		return
	}
	in(g.now())
	for commands := g.process.Commands(); len(commands) > 0; commands = g.process.Commands() {
		for i := range commands {
			g.execute(&commands[i])
		}
	}
	now := g.now()
	d, leased := g.process.Deadline()
	if leased {
		g.deadline.Store(&d)
	} else {
		g.deadline.Store(nil)
	}
	at, ok := g.process.Wake(now)
	wait := at - now.Mono
	if leased && (!ok || wait > second) {
		ok, wait = true, second
	}
	if ok {
		g.timer.Reset(max(wait, 0))
	} else {
		g.timer.Stop()
	}
}

// expired reports whether the leases have run out, by whichever clock: this process may
// have been stopped for so long.
func (g *leaseGroup) expired() bool {
	d := g.deadline.Load()
	if d == nil {
		return false
	}
	now := g.now()
	return now.Mono >= d.Mono || !now.Wall.Before(d.Wall)
}

// execute carries out one command. The caller holds the lock.
func (g *leaseGroup) execute(c *lease.Command) {
	m := g.members[c.Member]
	switch c.Kind {
	case lease.Exchange:
		g.exchange(*c)
	case lease.Remove:
		g.remove(*c)
	case lease.Read:
		g.read(*c)
	case lease.Apply:
		id, name, mutation := c.ID, c.Name, c.Mutation
		g.request(func(ctx context.Context) error { return g.store.Apply(ctx, name, mutation) },
			func(now lease.Instant, err error) { g.process.Applied(now, id, err) })
	}
	if m == nil {
		return
	}
	switch c.Kind {
	case lease.Gained:
		m.gained(c.Gained)
	case lease.Revoke:
		m.revoke(c.Partitions)
	case lease.Lost:
		m.lost(c.Partitions, Reason(c.Reason))
	case lease.Signalled:
		m.s.signalled()
	case lease.Redefined:
		m.redefine(c.Definition)
	case lease.Ended:
		m.s.Fail(fmt.Errorf("stream: leases of %q: %w", c.Name, c.Err))
		close(m.gone)
	case lease.Left:
		close(m.gone)
	}
}

func (g *leaseGroup) exchange(c lease.Command) {
	for id, m := range g.members {
		g.process.Summarise(id, m.summary())
	}
	var records []checkpoint.Record
	var at time.Time
	g.request(func(ctx context.Context) (err error) {
		if c.Value == nil {
			records, at, err = g.store.Records(ctx, "", "")
			return err
		}
		change := checkpoint.RecordChange{Key: c.Key, Value: c.Value, Any: true}
		records, at, err = checkpoint.Exchange(ctx, g.store, "", change, "")
		return err
	}, func(now lease.Instant, err error) {
		for _, m := range g.members {
			m.s.storeAnswered(err, leasing{})
		}
		g.process.Exchanged(now, c.ID, records, at, err)
	})
}

func (g *leaseGroup) remove(c lease.Command) {
	change := checkpoint.RecordChange{Key: c.Key, Revision: c.Revision, Any: c.Revision == 0}
	g.request(func(ctx context.Context) error {
		return g.store.Apply(ctx, "", checkpoint.Mutation{Records: []checkpoint.RecordChange{change}})
	}, func(now lease.Instant, err error) {
		if c.ID != 0 {
			g.process.Removed(now, c.ID, err)
		}
	})
}

func (g *leaseGroup) read(c lease.Command) {
	var records []checkpoint.Record
	var ownership *checkpoint.Ownership
	g.request(func(ctx context.Context) (err error) {
		if records, _, err = g.store.Records(ctx, c.Name, ""); err != nil || lease.Defined(records) {
			return err
		}
		o, err := g.store.Describe(ctx, c.Name)
		ownership = &o
		return err
	}, func(now lease.Instant, err error) { g.process.Found(now, c.ID, records, ownership, err) })
}

// request makes a request on a goroutine of its own, within the time of one heartbeat.
// A panic of the store is a failure of the request.
func (g *leaseGroup) request(call func(ctx context.Context) error, then func(now lease.Instant, err error)) {
	g.work.Add(1)
	go func() {
		defer g.work.Done()
		ctx, cancel := context.WithTimeout(g.ctx, g.key.ttl/3)
		defer cancel()
		err := errExited
		defer func() {
			if value := recover(); value != nil {
				err = &PanicError{Value: value}
			}
			g.input(func(now lease.Instant) { then(now, err) })
		}()
		err = call(ctx)
	}()
}
