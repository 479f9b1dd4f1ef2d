package storm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/record"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// author is the only writer of some aggregates, so that the order of what it
// did is known. An author goes on until every change has definitely been made
// or refused.
type author struct {
	pool   *pool.Pool
	client msg.ID
	record *record.Recorder
	rng    *rand.Rand
	keys   []msg.Key
	states map[msg.Key]*written
	// unsure counts the answers that left open whether a change was made.
	unsure *atomic.Int64
}

// written is what an author needs to know of its aggregate.
type written struct {
	seq      uint64 // the highest client sequence used
	changes  int
	versions []uint64 // of the present life
	deleted  bool
	fresh    bool
}

func newAuthor(w *world.World, record *record.Recorder, keys []msg.Key, seed uint64, unsure *atomic.Int64) *author {
	a := &author{w.Pool, world.RandomID(), record, rand.New(rand.NewPCG(seed, 1)), keys, make(map[msg.Key]*written), unsure}
	for _, key := range keys {
		a.states[key] = &written{}
	}
	return a
}

// storm makes random changes until ctx ends, and pauses in between.
func (a *author) storm(ctx context.Context, rest func() time.Duration) error {
	for ; ctx.Err() == nil; pause(ctx, rest()) {
		if err := a.step(); err != nil {
			return err
		}
		if a.rng.IntN(8) == 0 {
			time.Sleep(time.Millisecond) // let the notifications of a burst differ
		}
	}
	for _, key := range a.keys { // some end deleted, none unwritten
		if len(a.states[key].versions) == 0 {
			if err := a.append(key); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *author) step() error {
	key := a.keys[a.rng.IntN(len(a.keys))]
	s := a.states[key]
	alive := len(s.versions) > 0 && !s.deleted
	switch n := a.rng.IntN(100); {
	case n < 5 && alive:
		return a.delete(key, a.rng.IntN(2) == 0)
	case n < 12 && alive:
		return a.trim(key, s.versions[a.rng.IntN(len(s.versions))])
	}
	return a.append(key)
}

// patiently repeats do until it succeeds or says that it is over.
func (a *author) patiently(what string, key msg.Key, do func(ctx context.Context, unsure bool) (over bool, err error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	for unsure := false; ; {
		over, err := do(ctx, unsure)
		if err == nil || over {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s %v: no definite answer within 90 s: %w", what, key, err)
		}
		if msg.Ambiguous(err) {
			unsure = true
			a.unsure.Add(1)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (a *author) append(key msg.Key) error {
	s := a.states[key]
	s.changes++
	tag := fmt.Sprintf("%s.%d", key.Aggregate.Hex()[:6], s.changes)
	var events []msg.Event
	for i := range 1 + a.rng.IntN(4) {
		s.seq++
		value := fmt.Sprintf("%s %d %s", tag, i, strings.Repeat("x", a.rng.IntN(200)))
		events = append(events, msg.Event{ClientSeq: s.seq, Major: uint64(1 + i), Minor: uint64(i), Timestamp: s.seq, Value: []byte(value)})
	}
	a.record.Add(record.Line{What: record.Try, Key: key.String(), Tag: tag})
	var version uint64
	err := a.patiently("write", key, func(ctx context.Context, _ bool) (bool, error) {
		v, err := a.pool.WriteEvents(ctx, key, events, a.client, pool.WriteOptions{EnforceIdempotency: true})
		if errors.Is(err, msg.ErrDuplicate) { // an earlier attempt was applied
			v, err = a.find(ctx, key, tag)
		}
		version = v
		return false, err
	})
	if err != nil {
		return err
	}
	if s.deleted && s.fresh {
		s.versions = nil
	}
	s.deleted, s.versions = false, append(s.versions, version)
	a.record.Add(record.Line{What: record.Write, Key: key.String(), Tag: tag, Hash: record.HashOf(events), Version: version})
	return nil
}

func (a *author) find(ctx context.Context, key msg.Key, tag string) (uint64, error) {
	from := uint64(1)
	if d, err := a.pool.Details(ctx, key); err != nil {
		return 0, err
	} else if d.MinVersion > 1 {
		from = d.MinVersion
	}
	for b, err := range a.pool.ReadAll(ctx, key, msg.ReadFilters{From: from}) {
		if err != nil {
			return 0, err
		}
		if record.TagOf(b.Events) == tag {
			return b.Version, nil
		}
	}
	return 0, fmt.Errorf("%v: the node has stored %s and does not show it", key, tag)
}

func (a *author) trim(key msg.Key, keepFrom uint64) error {
	err := a.patiently("trim", key, func(ctx context.Context, _ bool) (bool, error) {
		return false, a.pool.TrimStart(ctx, &msg.TrimStartRequest{Key: key, KeepFrom: keepFrom, ClientID: a.client})
	})
	if err == nil {
		a.record.Add(record.Line{What: record.Trim, Key: key.String(), Version: keepFrom})
	}
	return err
}

func (a *author) delete(key msg.Key, continues bool) error {
	s := a.states[key]
	err := a.patiently("delete", key, func(ctx context.Context, unsure bool) (bool, error) {
		err := a.pool.Delete(ctx, &msg.DeleteRequest{ClientID: a.client, Deletes: []msg.AggregateDelete{
			{Key: key, AllowRecreate: true, AllowSequenceContinuation: continues},
		}})
		if unsure && errors.Is(err, msg.ErrNotFound) { // an earlier attempt was applied
			return true, nil
		}
		return errors.Is(err, msg.ErrNotFound), err
	})
	if err == nil {
		s.deleted, s.fresh = true, !continues
		a.record.Add(record.Line{What: record.Delete, Key: key.String(), Continues: continues})
	}
	return err
}
