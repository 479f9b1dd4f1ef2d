package operators

import (
	"context"
	"sync"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// Broadcast hands the changes of one subscription to many readers, for instance to
// the browsers that watch a page. A reader that is slow is never waited for: it
// gets a [Lagged] in place of what it missed. A Broadcast is safe for concurrent
// use.
type Broadcast struct {
	limits Limits

	mu      sync.Mutex
	readers map[*Reader]struct{}
	ended   error
}

// NewBroadcast returns a Broadcast whose readers hold at most limits.Changes and
// limits.Bytes each; limits.Wait is not used.
func NewBroadcast(limits Limits) *Broadcast {
	return &Broadcast{limits: limits.withDefaults(), readers: make(map[*Reader]struct{})}
}

// Run subscribes and hands out every change until ctx or the subscription ends, as
// [ForEach] does; its error is that of all readers then. Handing out counts as
// handling: positions are stored whether a reader has taken a change or not. Run it
// once.
func (b *Broadcast) Run(ctx context.Context, src Source, opts ...ForEachOption) (err error) {
	defer func() {
		if err == nil {
			err = ErrExited
		}
		b.end(err)
	}()
	return ForEach(ctx, src, func(_ context.Context, c stream.Change) error {
		b.publish(&c)
		return nil
	}, opts...)
}

func (b *Broadcast) publish(c *stream.Change) {
	bytes := markOf(c, 0).Bytes
	b.mu.Lock()
	defer b.mu.Unlock()
	for r := range b.readers {
		r.offer(c, bytes)
	}
}

func (b *Broadcast) end(cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = cause
	for r := range b.readers {
		signal(r.news)
	}
}

// Reader returns a reader of what is handed out from now on. Close it when it is
// not used any more.
func (b *Broadcast) Reader() *Reader {
	r := &Reader{of: b, news: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readers[r] = struct{}{}
	return r
}

// Readers counts the readers that are not closed.
func (b *Broadcast) Readers() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.readers)
}

// Reader is one reader of a [Broadcast]. Next is for one goroutine at a time.
type Reader struct {
	of   *Broadcast
	news chan struct{}
	// Guarded by the Broadcast: what waits, and what was missed behind it.
	queue  []stream.Change
	bytes  int
	missed map[msg.Key]int // places in lagged
	lagged *Lagged
}

// maxMissed bounds the aggregates of a Lagged.
const maxMissed = 4096

// Lagged tells a reader that it was too slow, and what it missed: read the
// aggregates anew, then go on.
type Lagged struct {
	// Changes counts the changes that were missed.
	Changes uint64
	// Missed has the aggregates, each once.
	Missed []Missed
	// More tells that further aggregates were missed, which are not named.
	More bool
}

// Missed is what a reader missed of one aggregate.
type Missed struct {
	Key msg.Key
	// From and To bound the versions of the batches, 0 if there were none.
	From, To uint64
	// Void tells that a Deleted, Reset or Truncated was among them.
	Void bool
}

// offer gives a change to the reader, or notes that it missed it. Once it has missed
// one, everything behind is missed, too, until it is told: nothing comes out of order.
func (r *Reader) offer(c *stream.Change, bytes int) {
	limits := &r.of.limits
	if r.lagged == nil && len(r.queue) < limits.Changes && (len(r.queue) == 0 || r.bytes+bytes <= limits.Bytes) {
		r.queue = append(r.queue, *c)
		r.bytes += bytes
		signal(r.news)
		return
	}
	if r.lagged == nil {
		r.lagged, r.missed = new(Lagged), make(map[msg.Key]int)
	}
	r.lagged.miss(c, r.missed)
	signal(r.news)
}

func (l *Lagged) miss(c *stream.Change, places map[msg.Key]int) {
	l.Changes++
	if c.Kind == stream.CaughtUp || c.Kind == stream.Gained || c.Kind == stream.Lost {
		return
	}
	at, known := places[c.Key]
	if !known {
		if len(l.Missed) == maxMissed {
			l.More = true
			return
		}
		at = len(l.Missed)
		places[c.Key] = at
		l.Missed = append(l.Missed, Missed{Key: c.Key})
	}
	m := &l.Missed[at]
	if c.Kind != stream.Batch {
		m.Void = true
		return
	}
	if m.From == 0 {
		m.From = c.Batch.Version
	}
	m.To = c.Batch.Version
}

// Next waits for changes, or for the news that some were missed: it returns one of
// both. After the end of the broadcast it hands out what is left, then its cause. When
// ctx ends it returns ctx's cause and may be called again.
func (r *Reader) Next(ctx context.Context) ([]stream.Change, *Lagged, error) {
	for {
		changes, lagged, err := r.poll()
		if len(changes) > 0 || lagged != nil || err != nil {
			return changes, lagged, err
		}
		select {
		case <-r.news:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

func (r *Reader) poll() (changes []stream.Change, lagged *Lagged, err error) {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	switch {
	case len(r.queue) > 0:
		changes = r.queue
		r.queue, r.bytes = nil, 0
	case r.lagged != nil:
		lagged = r.lagged
		r.lagged, r.missed = nil, nil
	default:
		err = r.of.ended
	}
	return changes, lagged, err
}

// Close ends the reader. Changes that wait for it are dropped.
func (r *Reader) Close() {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	delete(r.of.readers, r)
	r.queue, r.lagged, r.missed = nil, nil, nil
}
