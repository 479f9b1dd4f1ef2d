package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/pool/writer"
)

const (
	// patience is how long one batch is tried.
	patience = 30 * time.Second
	// tries is how often, pause what is waited before the second time; it doubles.
	tries = 8
	pause = 20 * time.Millisecond
)

// producer writes batches, several at a time, one after another for each
// aircraft.
type producer struct {
	commands *writer.Writer
	pace     *pace
	wrote    func(b *batch, version uint64)
}

func newProducer(log writer.Log, perSecond int, wrote func(b *batch, version uint64)) (*producer, error) {
	commands, err := writer.New(log, writer.Options{ClientID: writerID, Tries: tries, Pause: pause})
	return &producer{commands: commands, pace: newPace(perSecond), wrote: wrote}, err
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
func (p *producer) run(ctx context.Context, batches []*batch, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var lanesAtWork sync.WaitGroup
	for _, lane := range lanes(batches, n) {
		lanesAtWork.Go(func() {
			if err := p.lane(ctx, lane); err != nil {
				cancel(err)
			}
		})
	}
	lanesAtWork.Wait()
	return context.Cause(ctx)
}

func (p *producer) lane(ctx context.Context, lane []*batch) error {
	for _, b := range lane {
		if err := p.pace.wait(ctx, b.flights); err != nil {
			return err
		}
		version, err := p.write(ctx, b)
		if err != nil {
			return fmt.Errorf("writing aircraft %s of %s: %w", b.aircraft, b.day.Format(time.DateOnly), err)
		}
		p.wrote(b, version)
	}
	return nil
}

// write writes a batch unless an earlier attempt or run has, and returns its version.
func (p *producer) write(ctx context.Context, b *batch) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	outcome, err := p.commands.Append(ctx, writer.Command{Key: b.key, ID: b.id()}, b.events)
	return outcome.Version, err
}

// pace keeps producers to a number of flights per second.
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
