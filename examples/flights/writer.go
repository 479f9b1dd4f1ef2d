package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/msg"
)

// patience is how long one write is tried.
const patience = 30 * time.Second

// writer writes batches, several at a time, one after another for each
// aircraft.
type writer struct {
	client *celeriant.Client
	pace   *pace
	wrote  func(b *batch, version uint64)
}

// lanes spreads batches so that those of one aircraft are in one lane, in order.
func lanes(batches []*batch, n int) [][]*batch {
	out := make([][]*batch, n)
	for _, b := range batches {
		lane := b.key.Aggregate.Mod(uint64(n))
		out[lane] = append(out[lane], b)
	}
	return out
}

// run writes all batches and returns the first error.
func (w *writer) run(ctx context.Context, batches []*batch, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var lanesAtWork sync.WaitGroup
	for _, lane := range lanes(batches, n) {
		lanesAtWork.Go(func() {
			if err := w.lane(ctx, lane); err != nil {
				cancel(err)
			}
		})
	}
	lanesAtWork.Wait()
	return context.Cause(ctx)
}

func (w *writer) lane(ctx context.Context, lane []*batch) error {
	// written is the history that an earlier run wrote, for each aircraft that has one.
	written := make(map[msg.Key]history)
	for _, b := range lane {
		if err := w.pace.wait(ctx, b.flights); err != nil {
			return err
		}
		version, err := w.write(ctx, b, written)
		if err != nil {
			return fmt.Errorf("writing aircraft %s of %s: %w", b.aircraft, b.day.Format(time.DateOnly), err)
		}
		w.wrote(b, version)
	}
	return nil
}

// write writes a batch unless it is stored, and returns its version. The node
// refuses client sequences that are used up, so a write of unknown outcome is
// simply sent again.
func (w *writer) write(ctx context.Context, b *batch, written map[msg.Key]history) (uint64, error) {
	if h, ok := written[b.key]; ok {
		if version, err := h.find(b); version > 0 || err != nil {
			return version, err
		}
	}
	spacing := backoff.NewExponentialBackOff(backoff.WithInitialInterval(20*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(patience))
	for {
		version, err := w.client.WriteEvents(ctx, b.key, b.events, writerID, celeriant.WithIdempotency())
		if err == nil {
			return version, nil
		}
		if errors.Is(err, msg.ErrDuplicate) {
			version, err = w.recognise(ctx, b, written)
		}
		if err == nil {
			return version, nil
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if !msg.Ambiguous(err) && !msg.SafeToRetry(err) && !errors.Is(err, msg.ErrInFlight) {
			return 0, err
		}
		if err := sleep(ctx, spacing, err); err != nil {
			return 0, err
		}
	}
}

// sleep pauses before the next attempt, or says that there is none.
func sleep(ctx context.Context, spacing backoff.BackOff, cause error) error {
	d := spacing.NextBackOff()
	if d == backoff.Stop {
		return fmt.Errorf("gave up after %v: %w", patience, cause)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// recognise looks whether a client sequence is used up because this very batch
// is stored. Somebody else could have used it.
func (w *writer) recognise(ctx context.Context, b *batch, written map[msg.Key]history) (uint64, error) {
	h := make(history)
	for stored, err := range w.client.Pool().ReadAll(ctx, b.key, msg.ReadFilters{From: 1, IncludeClientID: msg.Some(writerID)}) {
		if errors.Is(err, msg.ErrNotFound) {
			// Client sequences outlive the aggregate.
			return 0, fmt.Errorf("aggregate %v was deleted, and cannot be written again with the same client sequences: %w", b.key, err)
		}
		if err != nil {
			return 0, err
		}
		for i := range stored.Events {
			h[stored.Events[i].ClientSeq] = place{stored.Events[i].EventID, stored.Version}
		}
	}
	written[b.key] = h
	version, err := h.find(b)
	if version == 0 && err == nil {
		err = fmt.Errorf("client sequence %d is used up, but its event is not there: it was trimmed, or the aggregate was deleted",
			b.events[0].ClientSeq)
	}
	return version, err
}

// history is what is stored of one aircraft, by client sequence.
type history map[uint64]place

type place struct {
	id      msg.Opt[msg.ID]
	version uint64
}

// find returns the version of a stored batch, 0 if nothing of it is stored, and
// fails if something else is stored in its place.
func (h history) find(b *batch) (version uint64, err error) {
	found := 0
	for i := range b.events {
		e := &b.events[i]
		stored, ok := h[e.ClientSeq]
		if !ok {
			continue
		}
		found++
		if stored.id != e.EventID {
			return 0, fmt.Errorf("client sequence %d is used by another event (version %d of %v): the data is not what was written before",
				e.ClientSeq, stored.version, b.key)
		}
		version = stored.version
	}
	if found != 0 && found != len(b.events) {
		return 0, fmt.Errorf("%d of %d events from client sequence %d on are stored: the data is not what was written before",
			found, len(b.events), b.events[0].ClientSeq)
	}
	return version, nil
}

// pace keeps writers to a number of flights per second.
type pace struct {
	perFlight time.Duration // 0 is no limit

	mu   sync.Mutex
	next time.Time
}

func newPace(perSecond int) *pace {
	p := &pace{}
	if perSecond > 0 {
		p.perFlight = time.Second / time.Duration(perSecond)
	}
	return p
}

func (p *pace) wait(ctx context.Context, flights int) error {
	if p.perFlight == 0 {
		return ctxError(ctx)
	}
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	at := p.next
	p.next = at.Add(time.Duration(flights) * p.perFlight)
	p.mu.Unlock()
	timer := time.NewTimer(at.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func ctxError(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}
