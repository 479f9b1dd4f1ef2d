package conformance

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

var (
	errStoreAway = errors.New("the store is away")
	errCrash     = errors.New("the consumer crashes")
)

// reader is a consumer that is thrown away again and again and resumed from its
// checkpoint. It holds nothing itself: the record is its memory.
type reader struct {
	source stream.Source
	scope  stream.Scope
	opts   stream.Options
	store  checkpoint.Store
	record *recorder
	rng    *rand.Rand
	runs   int
	left   int // changes until this run crashes
	// steady makes the next run the last one.
	steady atomic.Bool
	// moved is told after every change handled.
	moved chan struct{}
}

// read runs one subscription after another until ctx ends.
func (r *reader) read(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := r.once(ctx); err != nil {
			return fmt.Errorf("run %d: %w", r.runs, err)
		}
	}
	return nil
}

func (r *reader) once(ctx context.Context) error {
	r.runs++
	run, o := r.runs, r.opts
	o.Store = &kept{Store: r.store, record: r.record, run: run}
	o.OnState = func(s stream.State) {
		l := line{What: aState, Run: run, Kind: s.Phase.String()}
		if s.Cause != nil {
			l.Text = s.Cause.Error()
		}
		r.record.add(l)
	}
	r.record.add(line{What: anOpen, Run: run})
	s, err := stream.Open(ctx, r.source, r.scope, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	life, cancel := context.WithCancel(ctx)
	defer cancel()
	r.left = math.MaxInt
	if !r.steady.Load() {
		r.left = 1 + r.rng.IntN(150)
		timer := time.AfterFunc(time.Duration(200+r.rng.IntN(2000))*time.Millisecond, cancel)
		defer timer.Stop()
	}
	err = [...]func(context.Context, *stream.Subscription, int) error{r.pull, r.handle, r.iterate}[r.rng.IntN(3)](life, s, run)
	closing, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	if late := s.Close(closing); late != nil {
		return fmt.Errorf("closing: %w", late)
	}
	end := line{What: anEnd, Run: run}
	if cause := s.Err(); cause != nil {
		end.Text = cause.Error()
	}
	r.record.add(end)
	if err != nil && !errors.Is(err, errCrash) && life.Err() == nil {
		return err
	}
	return nil
}

// crashes reports whether the run ends with this change. Runs are counted in
// changes, since a slow machine makes few of them in any time.
func (r *reader) crashes() bool {
	r.left--
	return r.left < 0
}

func (r *reader) see(run int, c *stream.Change) { r.record.add(changeLine(run, c)) }

func (r *reader) did(run int, c *stream.Change) {
	if c.Moves() {
		r.record.add(cursorLine(handled, run, c.Key, c.Cursor))
	}
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

// pull takes slices and stores their cursors itself.
func (r *reader) pull(ctx context.Context, s *stream.Subscription, run int) error {
	for {
		changes, err := s.Next(ctx)
		if err != nil {
			return err
		}
		for i := range changes {
			r.see(run, &changes[i])
			if r.crashes() {
				return errCrash
			}
			r.did(run, &changes[i])
		}
		if err := s.Commit(context.WithoutCancel(ctx), stream.Entries(changes)); err != nil {
			return err
		}
	}
}

// handle has a handler called, which fails now and then.
func (r *reader) handle(ctx context.Context, s *stream.Subscription, run int) error {
	return s.Run(ctx, func(_ context.Context, c stream.Change) error {
		r.see(run, &c)
		if r.crashes() {
			return errCrash
		}
		r.did(run, &c)
		return nil
	})
}

// iterate ranges over the changes and breaks off now and then.
func (r *reader) iterate(ctx context.Context, s *stream.Subscription, run int) error {
	for c, err := range s.All(ctx) {
		if err != nil {
			return err
		}
		r.see(run, &c)
		if r.crashes() {
			return errCrash
		}
		r.did(run, &c)
	}
	return nil
}

// show records what the server itself shows of an aggregate. Whether it is
// deleted its list tells: after a restart details may show a deleted one alive.
func (w *world) show(ctx context.Context, record *recorder, key msg.Key) error {
	d, err := w.pool.Details(ctx, key)
	if err != nil {
		return err
	}
	l := line{What: theTruth, Key: key.String(), From: d.MinVersion}
	for item, err := range w.pool.ListAggregates(ctx, pool.ListAggregates{Org: msg.Some(key.Org), IncludeDeleted: true}) {
		if err != nil {
			return err
		}
		l.Deleted = l.Deleted || item.Key == key && item.Deleted
	}
	if !l.Deleted {
		for b, err := range w.pool.ReadAll(ctx, key, msg.ReadFilters{From: d.MinVersion}) {
			if err != nil {
				return err
			}
			if l.Text != "" {
				l.Text += " "
			}
			l.Text += tagOf(b.Events)
		}
	}
	record.add(l)
	return nil
}
