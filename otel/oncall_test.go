package otel_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/status"
	"github.com/celeriant/celeriant-go/stream"
)

// fault is one that lasts.
type fault struct {
	name string
	duty duty
	// begin begins it; what is seen of it is seen within the bound and a second.
	begin func(s *shift)
	bound time.Duration
	sees  sight
	// end ends it, and after gone nothing is seen of it; nil for one that ends the
	// subscription.
	end  func(s *shift)
	gone time.Duration
}

const ofConsumer = "messaging.consumer.group.name=" + consumerName

// faults are those of docs/guarantees.md that last longer than five seconds, by what a person
// sees of them. A slow or hanging consumer, a database, a store, a node, a follower, a leader,
// a batch, a lease, another owner, and a handler that refuses.
var faults = []fault{
	{
		name: "a handler fails",
		begin: func(s *shift) {
			s.fails(errors.New("payment 503"))
			s.write(2)
		},
		sees: sight{
			level: status.Attention, phase: stream.Live, says: `^Retrying handler since .* \(attempt \d+\): .*payment 503`, cause: "payment 503",
			metric: "celeriant.subscription.retrying", attributes: "celeriant.what=handler " + ofConsumer, least: 0.5,
			log: "handler failed, trying again", over: "handler works again",
		},
		end:  func(s *shift) { s.handle.Store(nil) },
		gone: 40 * time.Second,
	},
	{
		name: "a handler hangs",
		begin: func(s *shift) {
			leave := make(chan struct{})
			s.hung = leave
			f := func(c stream.Change) error { <-leave; return nil }
			s.handle.Store(&f)
			s.write(2)
		},
		bound: time.Minute, // see operators: the keeper looks twice
		sees: sight{
			level: status.Attention, phase: stream.Live, says: `^Live since .*, 1 unhandled, the oldest for `, cause: "has waited for",
			metric: "celeriant.subscription.oldest_pending", attributes: ofConsumer, least: 30,
			log: "handler does not return",
		},
		end: func(s *shift) {
			s.handle.Store(nil)
			close(s.hung)
		},
		gone: 2 * time.Second,
	},
	{
		name: "a consumer commits nothing",
		duty: duty{stream: stream.Options{MaxUncommitted: 2, Readers: 1}}, // reads in flight are not held back
		begin: func(s *shift) {
			leave := make(chan struct{})
			s.hung = leave
			f := func(c stream.Change) error { <-leave; return nil }
			s.handle.Store(&f)
			for n := range uint64(5) {
				s.write(2 + n)
			}
		},
		sees: sight{
			level: status.Attention, phase: stream.Live, says: `; nothing further is read: `, cause: "delivered and not committed",
			metric: "celeriant.subscription.unhandled", attributes: ofConsumer, least: 5,
			log: "nothing further is read until the consumer commits",
		},
		end: func(s *shift) {
			s.handle.Store(nil)
			close(s.hung)
		},
		gone: 2 * time.Second,
	},
	{
		name: "an aggregate is refused for good",
		begin: func(s *shift) {
			s.fails(errPoison, 2)
			s.write(2)
			s.write(3)
		},
		sees: sight{
			level: status.Attention, phase: stream.Live, says: `^Live; 1 parked; `, cause: "1 parked",
			metric: "celeriant.parked", attributes: ofConsumer, least: 1, log: "verdict=park",
		},
		end: func(s *shift) {
			s.handle.Store(nil)
			for p, err := range checkpoint.ListParked(s.t.Context(), s.store, consumerName) {
				if err == nil {
					err = checkpoint.RequestParked(s.t.Context(), s.store, consumerName, p, checkpoint.ActionRelease, "me")
				}
				if err != nil {
					s.t.Error(err)
				}
			}
		},
		gone: 7 * time.Second, // requests are looked for every five seconds
	},
	{
		name: "the checkpoint store is away",
		begin: func(s *shift) {
			s.store.leave(errors.New("connection refused"))
			s.write(2)
		},
		bound: time.Second, // cursors are stored once a second
		sees: sight{
			level: status.Attention, phase: stream.Live, says: `^Not storing since .*: connection refused; handling pauses$`, cause: "connection refused",
			metric: "celeriant.subscription.retrying", attributes: "celeriant.what=store " + ofConsumer, least: 0.1,
			log: "store failed, trying again", over: "store works again",
		},
		end:  func(s *shift) { s.store.cause.Store(nil) },
		gone: 9 * time.Second,
	},
	{
		name: "the database of a projection is away",
		duty: duty{project: true},
		begin: func(s *shift) {
			cause := fmt.Errorf("the server is in recovery: %w", driver.ErrBadConn)
			s.db.Store(&cause)
			s.write(2)
		},
		sees: sight{
			level: status.Attention, phase: stream.Live, says: `^Retrying database since .*the server is in recovery`, cause: "in recovery",
			metric: "celeriant.subscription.retrying", attributes: "celeriant.what=database " + ofConsumer, least: 0.5,
			log: "database failed, trying again", over: "database works again",
		},
		end:  func(s *shift) { s.db.Store(nil) },
		gone: 9 * time.Second,
	},
	{
		name: "both nodes are killed",
		begin: func(s *shift) {
			s.each(s.pair.Kill)
		},
		sees: sight{
			level: status.Attention, phase: stream.Reconnecting, says: `^(Reconnecting|Retrying node) since `, cause: "node-",
			metric: "celeriant.subscription.retrying", attributes: "celeriant.what=node " + ofConsumer, least: 0.1,
			log: "shard lost, reconnecting and reconciling it", over: "caught up, live",
		},
		end:  func(s *shift) { s.each(s.pair.Restart) },
		gone: 30 * time.Second,
	},
	{
		name: "both nodes stop without a sign",
		begin: func(s *shift) {
			s.each(s.pair.Pause)
		},
		bound: 15 * time.Second,
		sees: sight{
			level: status.Attention, phase: stream.Reconnecting, says: `^(Reconnecting|Retrying node) since `, cause: "timed out",
			metric: "celeriant.subscription.retrying", attributes: "celeriant.what=node " + ofConsumer, least: 0.1,
			log: "shard lost, reconnecting and reconciling it", over: "caught up, live",
		},
		end:  func(s *shift) { s.each(s.pair.Resume) },
		gone: 40 * time.Second,
	},
	{
		name: "the follower that is watched lags",
		duty: duty{stream: stream.Options{Followers: true, MaxLag: 30 * time.Second}},
		begin: func(s *shift) {
			s.pair.FreezeLag()
			s.write(2)
			time.Sleep(time.Second)
			s.write(2)
		},
		bound: 2 * stream.DefaultProbe,
		sees: sight{
			level: status.Attention, phase: stream.Live, says: `^Follower node-b:10000 is .* behind the leader; the leader is read instead$`, cause: "behind the leader",
			metric: "celeriant.subscription.follower_lag", attributes: ofConsumer, least: 0.1,
			log: "the follower that is watched lags, the leader is read instead", over: "the follower keeps up again",
		},
		end:  func(s *shift) { s.pair.ThawLag() },
		gone: 10 * time.Second,
	},
	{
		name: "the leader is demoted without a sign",
		begin: func(s *shift) {
			if err := s.pair.FailOver(); err != nil {
				s.t.Fatal(err)
			}
			s.pair.FreezeLag() // or the old leader would notify as a follower
		},
		bound: 2500 * time.Millisecond,
		sees: sight{
			// By then the subscription has moved.
			level: status.Fine, phase: stream.Live, says: `^Live since .*, all handled$`,
			metric: "celeriant.node.leader_changes", least: 1, counts: true,
			log: `cause="the node watched is no longer the leader"`, over: "caught up, live",
		},
		end:  func(s *shift) { s.pair.ThawLag() },
		gone: 10 * time.Second,
	},
	{
		name: "a batch is larger than the node's answers",
		duty: duty{nodes: celerianttest.PairOptions{Options: celerianttest.Options{MaxResponseSize: 4096, Quirks: true}, SteadyRestarts: true}},
		begin: func(s *shift) {
			s.write(2, 8000)
			s.write(3)
		},
		bound: 15 * time.Second,
		sees: sight{
			level: status.Attention, phase: stream.Live, says: `^Live; 1 unreadable; 1 unhandled$`, cause: "1 unreadable",
			metric: "celeriant.unreadable", attributes: ofConsumer, least: 1, log: "a batch cannot be read",
		},
		end: func(s *shift) {
			s.write(2)
			s.trim(2, 2)
		},
		gone: 10 * time.Second,
	},
	{
		name:  "another owner takes the name",
		begin: func(s *shift) { s.takeOver(); s.write(2) },
		bound: time.Second,
		sees: sight{
			level: status.Ended, phase: stream.Closed, says: `^Fenced at .* by another owner$`, cause: "fenced",
			metric: "celeriant.subscription.state", attributes: "celeriant.phase=closed", least: 1, log: "subscription ended",
		},
	},
	{
		name: "the lease store is cut off",
		duty: duty{stream: stream.Options{Ownership: stream.Leased}},
		begin: func(s *shift) {
			s.store.leave(errors.New("no route to host"))
		},
		bound: 15 * time.Second,
		sees: sight{
			level: status.Attention, phase: stream.Live, says: `^Not storing since .*no route to host`, cause: "no route to host",
			metric: "celeriant.lease.lost", attributes: "celeriant.reason=expired " + ofConsumer, least: 64, counts: true,
			log: "reason=expired", over: "store works again",
		},
		end:  func(s *shift) { s.store.cause.Store(nil) },
		gone: 30 * time.Second,
	},
	{
		name:  "the key is revoked",
		duty:  duty{keyed: true},
		begin: func(s *shift) { s.revoke() },
		bound: 15 * time.Second,
		sees: sight{
			level: status.Ended, phase: stream.Closed, says: `^Ended at .* API key invalid`, cause: "10006",
			metric: "celeriant.subscription.state", attributes: "celeriant.phase=closed", least: 1, log: "subscription ended",
		},
	},
}

// each does something to both nodes.
func (s *shift) each(do func(*celerianttest.Node) error) {
	s.t.Helper()
	for _, n := range []*celerianttest.Node{s.pair.A(), s.pair.B()} {
		if err := do(n); err != nil {
			s.t.Fatal(err)
		}
	}
}

// takeOver has another process open the same name.
func (s *shift) takeOver() {
	s.t.Helper()
	other, err := s.open(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := other.Close(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}

// revoke has the nodes refuse the key from the next connection on.
func (s *shift) revoke() {
	s.locked.Store(true)
	s.each(func(n *celerianttest.Node) error {
		n.CutConnections()
		return nil
	})
}

// trim drops the batches of an aggregate below a version.
func (s *shift) trim(n, below uint64) {
	s.t.Helper()
	if err := s.writer.TrimStart(s.t.Context(), &msg.TrimStartRequest{Key: keyed(n), KeepFrom: below, ClientID: msg.IDFromUint64(4)}); err != nil {
		s.t.Fatal(err)
	}
}

// Each fault that lasts is seen within its bound and a second: on the page, in the state, in
// a metric and in the log. When it is over, nothing of it is.
//
//covers:g22 halfopen demotion followers oversize store lease handler keys
func TestWhatAPersonSees(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			onCall(t, f.duty, func(s *shift) {
				s.begin()
				f.begin(s)
				time.Sleep(f.bound + time.Second)
				s.sees(f.sees)
				if f.end == nil {
					return
				}
				time.Sleep(10 * time.Second)
				f.end(s)
				time.Sleep(f.gone)
				s.seesNothing(f.sees)
			})
		})
	}
}
