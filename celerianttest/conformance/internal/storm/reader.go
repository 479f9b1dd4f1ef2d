package storm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/record"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

var errCrash = errors.New("the consumer crashes")

// reader is a consumer that is thrown away again and again and resumed from its
// checkpoint. The reader holds nothing itself: the record is its memory.
type reader struct {
	source stream.Source
	scope  stream.Scope
	opts   stream.Options
	store  checkpoint.Store
	record.Voice
	rng *rand.Rand
	// way, if there is one, is how it subscribes instead of at the source.
	way *Way
	// members, if there are any, join and leave the scope while it is followed.
	members *members
	// divides tells that the reader shares its scope with others.
	divides bool
	// after is how many writes it waits for.
	after int
	// calm is how much longer than at first it lives.
	calm func() time.Duration
	runs int
	left int // changes until this run crashes
	// steady makes the next run the last one.
	steady atomic.Bool
	// moved is told after every change handled.
	moved chan struct{}
}

// read runs one subscription after another until ctx ends.
func (r *reader) read(ctx context.Context) error {
	for ctx.Err() == nil && r.Record.Counted(record.Write) < r.after {
		pause(ctx, time.Millisecond)
	}
	if r.divides {
		r.Add(record.Line{What: record.Divides})
	}
	once := r.once
	if r.way != nil {
		once = r.through
	}
	for ctx.Err() == nil {
		if err := once(ctx); err != nil {
			return fmt.Errorf("run %d: %w", r.runs, err)
		}
	}
	return nil
}

func (r *reader) once(ctx context.Context) error {
	r.runs++
	run, o, scope := r.runs, r.opts, r.scope
	o.Store = &record.Store{Store: r.store, Voice: r.Voice, Run: run}
	o.OnState = func(s stream.State) { r.Add(record.StateLine(run, r.Record.Start, s)) }
	ways := []func(context.Context, *stream.Subscription, int) error{r.pull, r.handle, r.iterate}
	if r.members != nil {
		scope, o.AdoptScope = r.members.scope(), true
		ways = []func(context.Context, *stream.Subscription, int) error{r.roam}
		r.members.tell(r.Voice, scope)
	}
	opens := record.Line{What: record.Open, Run: run, Late: late(o).Milliseconds()}
	if o.Start == stream.FromNow {
		opens.Kind = record.StartsNow
	}
	r.Add(opens)
	s, err := stream.Open(ctx, r.source, scope, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	way := ways[r.rng.IntN(len(ways))]
	return r.live(ctx, run, s, func(life context.Context) error { return way(life, s, run) })
}

// live follows a subscription until the run ends.
func (r *reader) live(ctx context.Context, run int, s Subscription, follow func(context.Context) error) error {
	life, cancel := context.WithCancel(ctx)
	defer cancel()
	r.left = math.MaxInt
	if !r.steady.Load() {
		r.left = 1 + r.rng.IntN(150)
		timer := time.AfterFunc(time.Duration(200+r.rng.IntN(2000))*time.Millisecond+2*r.calm(), cancel)
		defer timer.Stop()
	}
	err := follow(life)
	closing, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	if late := s.Close(closing); late != nil {
		return fmt.Errorf("closing: %w", late)
	}
	end := record.Line{What: record.End, Run: run}
	if cause := s.Err(); cause != nil {
		end.Text = cause.Error()
	}
	r.Add(end)
	if err != nil && !errors.Is(err, errCrash) && life.Err() == nil {
		return err
	}
	return nil
}

// late is for how long a subscription that is live may not hear of what was
// acknowledged.
func late(o stream.Options) time.Duration {
	switch {
	case o.Followers:
		return stream.DefaultProbe + o.Latency + time.Second
	case o.Latency > 0:
		return o.Latency + time.Second
	}
	return 0
}

// crashes reports whether the run ends with this change. Runs are counted in
// changes, since a slow machine makes few of them in any time.
func (r *reader) crashes() bool {
	r.left--
	return r.left < 0
}

func (r *reader) see(run int, c *stream.Change) { r.Add(record.ChangeLine(run, c)) }

func (r *reader) did(run int, c *stream.Change) {
	if c.Moves() {
		r.Add(record.CursorLine(record.Handled, run, c.Key, c.Cursor))
	}
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

// pull takes slices and stores their cursors itself.
func (r *reader) pull(ctx context.Context, s *stream.Subscription, run int) error {
	for {
		if _, err := r.slice(ctx, s, run); err != nil {
			return err
		}
	}
}

// slice takes one slice.
func (r *reader) slice(ctx context.Context, s Subscription, run int) ([]stream.Change, error) {
	changes, err := s.Next(ctx)
	if err != nil {
		return nil, err
	}
	for i := range changes {
		r.see(run, &changes[i])
		if r.crashes() {
			return nil, errCrash
		}
		r.did(run, &changes[i])
	}
	return changes, s.Commit(context.WithoutCancel(ctx), stream.Entries(changes))
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
func show(ctx context.Context, w *world.World, rec *record.Recorder, key msg.Key) error {
	d, err := w.Pool.Details(ctx, key)
	if err != nil {
		return err
	}
	l := record.Line{What: record.Truth, Key: key.String(), From: d.MinVersion}
	for item, err := range w.Pool.ListAggregates(ctx, pool.ListAggregatesOptions{Org: msg.Some(key.Org), IncludeDeleted: true}) {
		if err != nil {
			return err
		}
		l.Deleted = l.Deleted || item.Key == key && item.Deleted
	}
	if !l.Deleted {
		for b, err := range w.Pool.ReadAll(ctx, key, msg.ReadFilters{From: d.MinVersion}) {
			if err != nil {
				return err
			}
			if l.Text != "" {
				l.Text += " "
			}
			l.Text += record.TagOf(b.Events)
		}
	}
	rec.Add(l)
	return nil
}
