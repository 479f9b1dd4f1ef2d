package pool

import (
	"context"
	"errors"
	"iter"
	"math"

	"github.com/celeriant/celeriant-go/msg"
)

const (
	// firstWindow is how many versions the first page asks for.
	firstWindow = 256
	// widestWindow bounds how many versions one page asks for.
	widestWindow = 1 << 20
)

// ReadAll yields the batches of an aggregate from filters.From (0 means 1) to
// filters.To, or to the newest version at some moment after the call, page by
// page. A page covers as many versions as should fill PageBytes; no connection
// is held while the consumer works; each batch owns its memory together with
// the others of its page. An error is yielded once, as the last element: a
// *Error with the node's answer (msg.ErrNotFound, msg.ErrTrimmed), or with
// ErrProtocol when pages make no sense.
//
// Only the aggregate's present life is shown: when an aggregate was deleted and
// began again at version 1, a node may answer a read from version 1 with
// batches of earlier lives too; they are left out. Pages are no snapshot.
// Protocol section 7.2.
func (p *Pool) ReadAll(ctx context.Context, key msg.Key, filters msg.ReadFilters) iter.Seq2[msg.Batch, error] {
	return func(yield func(msg.Batch, error) bool) {
		filters.From = max(filters.From, 1)
		r := &reading{pool: p, ctx: ctx, key: key, filters: filters, window: firstWindow}
		for more := true; more; {
			batches, err := r.page()
			if err != nil {
				yield(msg.Batch{}, err)
				return
			}
			for _, batch := range batches {
				if !yield(batch, nil) {
					return
				}
			}
			if more, err = r.advance(); err != nil {
				yield(msg.Batch{}, err)
				return
			}
		}
	}
}

// reading is the state of one ReadAll.
type reading struct {
	pool    *Pool
	ctx     context.Context
	key     msg.Key
	filters msg.ReadFilters // From is where the next page begins

	window   uint64 // versions to ask for
	head     msg.Opt[uint64]
	latest   msg.Batch // the one yielded last
	began    bool      // latest is set
	finished bool      // no version is left
}

// page reads the next page and moves From behind it.
func (r *reading) page() ([]msg.Batch, error) {
	if r.filters.From == 1 {
		return r.firstOfLife()
	}
	asked := r.filters
	resp, err := r.narrowing(&asked)
	if err != nil {
		return nil, err
	}
	batches, err := r.inOrder(asked, resp)
	if err != nil {
		return nil, err
	}
	r.behind(asked, resp)
	r.adapt(asked.From, r.filters.From, batches)
	return batches, nil
}

// narrowing reads the page from asked.From on; while the answer is larger than
// MaxResponseSize it asks for fewer versions.
func (r *reading) narrowing(asked *msg.ReadFilters) (*msg.ReadResponse, error) {
	for {
		asked.To = msg.Some(r.upTo())
		resp, err := r.pool.Read(r.ctx, &msg.ReadRequest{Key: r.key, Filters: *asked})
		if r.window == 1 || !errors.Is(err, ErrResponseTooLarge) {
			return resp, err
		}
		r.window = max(r.window/4, 1)
	}
}

// upTo is the last version of the next page.
func (r *reading) upTo() uint64 {
	to := r.filters.From + (r.window - 1)
	if to < r.filters.From {
		to = math.MaxUint64
	}
	if head, ok := r.head.Get(); ok && head >= r.filters.From {
		to = min(to, head)
	}
	return min(to, r.filters.To.Or(math.MaxUint64))
}

// behind moves From behind the page.
func (r *reading) behind(asked msg.ReadFilters, resp *msg.ReadResponse) {
	switch {
	case resp.NextVersion.Set:
		r.filters.From = resp.NextVersion.Value
	case asked.To.Value < asked.From || asked.To.Value == math.MaxUint64:
		r.finished = true
	default:
		r.filters.From = asked.To.Value + 1
	}
}

// firstOfLife reads version 1 alone and keeps the last answer: it is the first
// batch of the present life, those before it are the first of earlier ones,
// and reads from 2 on never leave the present life.
func (r *reading) firstOfLife() ([]msg.Batch, error) {
	asked := r.filters
	asked.To = msg.Some(min(1, r.filters.To.Or(1)))
	resp, err := r.pool.Read(r.ctx, &msg.ReadRequest{Key: r.key, Filters: asked})
	if err != nil {
		return nil, err
	}
	if resp.NextVersion.Set {
		return nil, r.fail("next version %d of a read of version 1", resp.NextVersion.Value)
	}
	r.filters.From = 2
	count := len(resp.Batches)
	if count == 0 {
		return nil, nil
	}
	last := resp.Batches[count-1]
	if last.Version != 1 {
		return nil, r.fail("version %d in a read of version 1", last.Version)
	}
	if current, err := r.ofPresentLife(last); err != nil || !current {
		return nil, err
	}
	r.latest, r.began = last, true
	return resp.Batches[count-1:], nil
}

// ofPresentLife reports whether a batch 1 that passed the filters belongs to
// the present life; the filters may have removed the one that does.
func (r *reading) ofPresentLife(batch msg.Batch) (bool, error) {
	if unfiltered(r.filters) {
		return true, nil
	}
	resp, err := r.pool.Read(r.ctx, &msg.ReadRequest{Key: r.key, Filters: msg.ReadFilters{From: 1, To: msg.Some[uint64](1)}})
	if err != nil || len(resp.Batches) == 0 {
		return false, err
	}
	return partOf(batch, resp.Batches[len(resp.Batches)-1]), nil
}

// inOrder returns the batches of a page that can be trusted: below the next
// version, ascending, inside what was asked. The batch before once more, word
// for word, is dropped: nodes restarted as followers serve such.
func (r *reading) inOrder(asked msg.ReadFilters, resp *msg.ReadResponse) ([]msg.Batch, error) {
	next, more := resp.NextVersion.Get()
	if more && next <= asked.From {
		return nil, r.fail("next version %d after a page from %d", next, asked.From)
	}
	kept := resp.Batches[:0]
	for _, batch := range resp.Batches {
		switch {
		case more && batch.Version >= next:
		case batch.Version < asked.From || batch.Version > asked.To.Value:
			return nil, r.fail("version %d in a page from %d to %d", batch.Version, asked.From, asked.To.Value)
		case r.began && sameBatch(batch, r.latest):
		case r.began && batch.Version <= r.latest.Version:
			return nil, r.fail("version %d after version %d", batch.Version, r.latest.Version)
		default:
			kept = append(kept, batch)
			r.latest, r.began = batch, true
		}
	}
	return kept, nil
}

// adapt sizes the next window by what the versions of this page weighed.
func (r *reading) adapt(from, to uint64, batches []msg.Batch) {
	covered, weight := max(to-from, 1), uint64(weigh(batches))
	if r.finished {
		return
	}
	wanted := r.window * 4
	if weight > 0 {
		wanted = min(wanted, uint64(float64(r.pool.opts.PageBytes)*float64(covered)/float64(weight)))
	}
	r.window = min(max(wanted, 1), widestWindow)
}

// advance reports whether another page is needed. Where the end is not given
// it asks, once, for the newest version: an empty page is no proof of the end,
// since version numbers may jump.
func (r *reading) advance() (bool, error) {
	if r.finished || r.filters.To.Set && r.filters.From > r.filters.To.Value {
		return false, nil
	}
	if !r.head.Set {
		details, err := r.pool.Details(r.ctx, r.key)
		if err != nil {
			return false, err
		}
		r.head = msg.Some(details.MaxVersion)
	}
	return r.filters.From <= r.head.Value, nil
}

func (r *reading) fail(format string, args ...any) error {
	return &Error{Op: msg.TypeReadRequest.String(), Node: r.pool.opts.Address, Key: msg.Some(r.key), Sent: true, Err: violation(format, args...)}
}
