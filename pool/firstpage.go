package pool

import (
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// fromTheStart reads the first page of the present life. A read from 1 runs into
// earlier lives, but each of them shows a batch 1: where there is only one,
// there is only one life.
func (r *reading) fromTheStart() (*Page, []msg.Batch, error) {
	if r.filters.To.Or(2) < 2 || !unfiltered(r.filters) {
		return r.firstOfLife(nil)
	}
	asked := r.filters
	page, err := r.narrowing(&asked)
	switch {
	case err != nil:
		return nil, nil, err
	case !oneLife(asked, page):
		r.free(page)
		return r.firstOfLife(nil)
	case page.NextVersion.Set:
		return r.firstOfLife(page) // what did not fit may begin another life
	}
	return page, r.accept(page, asked.To == r.filters.To), nil
}

// oneLife reports whether a page from 1 begins with the only batch 1 in it and
// ascends.
func oneLife(asked msg.ReadFilters, page *Page) bool {
	last := uint64(0)
	for i := range page.Batches {
		version := page.Batches[i].Version
		if i == 0 && version != 1 || version <= last || version > asked.To.Value {
			return false
		}
		last = version
	}
	return last > 0 && (!page.NextVersion.Set || page.NextVersion.Value > last)
}

// accept takes a page from 1 of one life and moves From behind it: behind its
// last batch, since the next one may not have been written when it was read. all
// tells that the page covers what was asked for.
func (r *reading) accept(page *Page, all bool) []msg.Batch {
	r.latest, r.began = page.Batches[len(page.Batches)-1], true
	r.filters.From = page.NextVersion.Or(r.latest.Version + 1)
	r.finished = all || r.filters.From == 0
	r.adapt(1, r.latest.Version+1, page)
	return page.Batches
}

// firstOfLife reads version 1 alone and keeps the last answer: it is the first
// batch of the present life, those before it are the first of earlier ones,
// and reads from 2 on never leave the present life. When it turns out to be the
// only one, a page from 1 that begins with it and was cut short is accepted.
func (r *reading) firstOfLife(seen *Page) (*Page, []msg.Batch, error) {
	asked := r.filters
	asked.To = msg.Some(min(1, r.filters.To.Or(1)))
	window := r.window
	r.window = 1
	first, err := r.narrowing(&asked)
	r.window = window
	if err != nil {
		return nil, nil, err
	}
	if first.NextVersion.Set {
		return nil, nil, r.fail("next version %d of a read of version 1", first.NextVersion.Value)
	}
	count := len(first.Batches)
	if seen != nil && count == 1 && sameBatch(seen.Batches[0], first.Batches[0]) {
		r.free(first)
		return seen, r.accept(seen, false), nil
	}
	r.free(seen)
	r.filters.From = 2
	if count == 0 {
		return first, nil, nil
	}
	last := first.Batches[count-1]
	if last.Version != 1 {
		return nil, nil, r.fail("version %d in a read of version 1", last.Version)
	}
	if current, err := r.ofPresentLife(last); err != nil || !current {
		return nil, nil, err
	}
	r.latest, r.began = last, true
	return first, first.Batches[count-1:], nil
}

// ofPresentLife reports whether a batch 1 that passed the filters belongs to
// the present life; the filters may have removed the one that does.
func (r *reading) ofPresentLife(batch msg.Batch) (bool, error) {
	if unfiltered(r.filters) {
		return true, nil
	}
	page, err := r.reader.read(r.key, msg.ReadFilters{From: 1, To: msg.Some[uint64](1)})
	if err != nil || len(page.Batches) == 0 {
		return false, err
	}
	defer r.free(page)
	return partOf(batch, page.Batches[len(page.Batches)-1]), nil
}

// inOrder returns the batches of a page that can be trusted: below the next
// version, ascending, inside what was asked. The batch before once more, word
// for word, is dropped: nodes restarted as followers serve such.
func (r *reading) inOrder(asked msg.ReadFilters, page *Page) ([]msg.Batch, error) {
	next, more := page.NextVersion.Get()
	if more && next <= asked.From {
		return nil, r.fail("next version %d after a page from %d", next, asked.From)
	}
	kept := page.Batches[:0]
	for _, batch := range page.Batches {
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

func (r *reading) fail(format string, args ...any) error {
	return &Error{Op: msg.TypeReadRequest.String(), Node: r.reader.via.node(), Key: msg.Some(r.key), Sent: true, Err: conn.Violation(format, args...)}
}
