package pool

import (
	"context"
	"errors"
	"iter"
	"math"
	"strings"
	"sync"

	"github.com/celeriant/celeriant-go/msg"
)

const (
	// usualBatch is the size in bytes that batches are taken to have before the
	// first one was seen.
	usualBatch = 1 << 10
	// narrowestWindow is the least number of versions the first page asks for.
	narrowestWindow = 16
	// widestWindow bounds how many versions one page asks for.
	widestWindow = 1 << 20
)

// ReadAll yields the batches of an aggregate from filters.From (0 means 1) to
// filters.To, or to the newest version at some moment after the call, page by
// page. A page covers as many versions as should fill PageBytes; the next one
// is fetched while the consumer works on this one, so up to two are held, and
// no connection is. Each batch owns its memory together with the others of its
// page; [Pool.ReadEach] does without.
//
// An error is yielded once, as the last element: a *Error with the node's answer
// (msg.ErrNotFound, msg.ErrTrimmed), with ErrProtocol when pages make no sense, or
// with a *BatchTooLargeError for a batch that does not fit an answer. Lost
// connections do not end it: the page is asked for again, for at most
// FailoverBudget, from a node that has answered before. With RouteReadsToFollowers
// all pages come from one follower, and from the leader when that one is lost.
//
// Only the aggregate's present life is shown: when an aggregate was deleted and
// began again at version 1, a node may answer a read from version 1 with
// batches of earlier lives too; they are left out. Pages are no snapshot.
// Protocol section 7.2.
func (o *operations) ReadAll(ctx context.Context, key msg.Key, filters msg.ReadFilters) iter.Seq2[msg.Batch, error] {
	return func(yield func(msg.Batch, error) bool) {
		for page, err := range o.pagesOf(ctx, key, filters, &ownedPages) {
			for i := range page {
				if !yield(page[i], nil) {
					return
				}
			}
			if err != nil {
				yield(msg.Batch{}, err)
			}
		}
	}
}

// ReadEach is ReadAll into memory that is used again: a batch, with its events and
// payloads, is valid until the loop asks for the next one, and must not be
// changed. [msg.Batch.Clone] keeps one; that at which the loop is left stays valid.
// ReadEach leaves next to no garbage, which makes up most of what ReadAll costs. With an
// error the batch is nil.
func (o *operations) ReadEach(ctx context.Context, key msg.Key, filters msg.ReadFilters) iter.Seq2[*msg.Batch, error] {
	return func(yield func(*msg.Batch, error) bool) {
		for page, err := range o.pagesOf(ctx, key, filters, &lentPages) {
			for i := range page {
				if !yield(&page[i], nil) {
					return
				}
			}
			if err != nil {
				yield(nil, err)
			}
		}
	}
}

// pagesOf yields an aggregate in pages, which are used again, and at last, alone,
// an error.
func (o *operations) pagesOf(ctx context.Context, key msg.Key, filters msg.ReadFilters, pages *sync.Pool) iter.Seq2[[]msg.Batch, error] {
	return func(yield func([]msg.Batch, error) bool) {
		if err := checkContext(msg.TypeReadRequest.String(), ctx); err != nil {
			yield(nil, err)
			return
		}
		filters.From = max(filters.From, 1)
		reader, err := newReader(ctx, o.via, pages)
		if err != nil {
			yield(nil, err)
			return
		}
		r := &reading{reader: reader, key: key, filters: filters}
		r.window = r.firstWindow()
		r.yieldPages(yield)
	}
}

// yieldPages yields the pages of a reading, fetching the next while the consumer
// has the present one, but not before the first was taken: a consumer that wants one
// batch is not charged for a second page. When the consumer leaves, the page
// that is under way is awaited in the background, so that its connection stays good.
func (r *reading) yieldPages(yield func([]msg.Batch, error) bool) {
	var next chan fetched
	defer func() {
		r.reader.left.Store(true)
		if next != nil {
			go func(last chan fetched) { r.free((<-last).page) }(next)
		}
	}()
	for first := true; ; first = false {
		var now fetched
		if next != nil {
			now, next = <-next, nil
		} else {
			now = r.fetch()
		}
		if now.more && !first {
			fetching := make(chan fetched, 1)
			next = fetching
			go func() { fetching <- r.fetch() }()
		}
		if !yield(now.batches, now.err) {
			return // the consumer may keep the batch it has got
		}
		r.free(now.page)
		if !now.more {
			return
		}
	}
}

// fetched is a page, and the error that ends the reading behind it.
type fetched struct {
	page    *Page
	batches []msg.Batch // of the page
	more    bool
	err     error
}

// reading is the state of one ReadAll or ReadEach.
type reading struct {
	reader  *reader
	key     msg.Key
	filters msg.ReadFilters // From is where the next page begins

	window   uint64 // versions to ask for
	head     msg.Opt[uint64]
	latest   msg.Batch // the last one of the pages so far
	began    bool      // latest is set
	answered bool      // a page was read
	finished bool      // no version is left
}

// fetch reads the next page and finds out whether there is another.
func (r *reading) fetch() (f fetched) {
	if f.page, f.batches, f.err = r.page(); f.err != nil {
		return fetched{err: f.err}
	}
	r.answered = true
	f.more = r.more()
	r.latest.Events = nil // the consumer's from here on
	if f.page != nil && r.reader.pages == &ownedPages {
		f.page.memory.Own(f.batches)
	}
	return f
}

// free takes back a page that nobody uses any more, if it is one.
func (r *reading) free(page *Page) {
	if page != nil {
		page.free(r.reader.pages)
	}
}

// page reads the next page and moves From behind it.
func (r *reading) page() (*Page, []msg.Batch, error) {
	if r.filters.From == 1 {
		return r.fromTheStart()
	}
	if err := r.learnHead(); err != nil {
		return nil, nil, err
	}
	if head, ok := r.head.Get(); ok && r.answered && r.filters.From > head {
		r.finished = true
		return nil, nil, nil
	}
	asked := r.filters
	page, err := r.narrowing(&asked)
	if err != nil {
		return nil, nil, err
	}
	batches, err := r.inOrder(asked, page)
	if err != nil {
		return nil, nil, err
	}
	r.behind(asked, page)
	r.adapt(asked.From, r.filters.From, page)
	return page, batches, nil
}

// learnHead asks for the newest version before a page may leave versions behind:
// they must have been there when it was read, or what is written meanwhile would
// be skipped. A range that one page covers to its end, or an empty one, needs no
// knowledge of the head.
func (r *reading) learnHead() error {
	if r.head.Set {
		return nil
	}
	if to, ok := r.filters.To.Get(); ok && (to < r.filters.From || to-r.filters.From < r.window) {
		return nil
	}
	details, err := r.reader.details(r.key)
	if err != nil {
		return err
	}
	r.head = msg.Some(details.MaxVersion)
	return nil
}

// narrowing reads the page from asked.From on. While the answer is larger than
// MaxResponseSize it asks for fewer versions. A node that does not answer at
// all, or says so, may have a batch it cannot send: a page ends before such a batch,
// so it is the first one, which is then asked for alone.
func (r *reading) narrowing(asked *msg.ReadFilters) (*Page, error) {
	for {
		asked.To = msg.Some(r.upTo())
		page, err := r.reader.read(r.key, *asked)
		silent, told := errors.Is(err, ErrRequestTimeout), unsendable(err)
		switch {
		case !silent && !told && !errors.Is(err, ErrResponseTooLarge), r.reader.left.Load():
			return page, err
		case asked.To.Value <= asked.From:
			return nil, r.tooLarge(asked.From, silent, err)
		case silent, told:
			r.window = 1
		default:
			r.window = max(r.window/4, 1)
		}
	}
}

// unsendable reports whether a node says that a batch exceeds its limit. The code
// alone may also stand for a disk that does not answer for a moment.
func unsendable(err error) bool {
	var refusal *msg.ServerError
	return errors.As(err, &refusal) && refusal.Code == msg.CodeReadDataBlocks && strings.Contains(refusal.Message, " exceeds the ")
}

// tooLarge is the error for a batch that does not come alone either. Silence
// counts only while the node answers other questions.
func (r *reading) tooLarge(version uint64, silent bool, err error) error {
	if silent {
		if _, alive := r.reader.details(r.key); alive != nil {
			return err
		}
	}
	return &Error{Op: msg.TypeReadRequest.String(), Node: r.reader.via.node(), Key: msg.Some(r.key), Sent: true,
		Err: &BatchTooLargeError{Version: version, Err: err}}
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
func (r *reading) behind(asked msg.ReadFilters, page *Page) {
	switch {
	case page.NextVersion.Set:
		r.filters.From = page.NextVersion.Value
	case asked.To.Value < asked.From || asked.To.Value == math.MaxUint64:
		r.finished = true
	default:
		r.filters.From = asked.To.Value + 1
	}
}

// adapt sizes the next window by what the versions of this page weighed.
func (r *reading) adapt(from, to uint64, page *Page) {
	covered, weight := max(to-from, 1), uint64(page.memory.Weight())
	if r.finished {
		return
	}
	wanted := r.window * 4
	if len(page.Batches) > 0 {
		wanted = min(wanted, uint64(float64(r.reader.via.settings().PageBytes)*float64(covered)/float64(weight)))
	}
	r.window = min(max(wanted, 1), widestWindow)
}

// more reports whether another page may be needed: an empty page is no proof of
// the end, since version numbers may jump.
func (r *reading) more() bool {
	switch {
	case r.finished, r.filters.To.Set && r.filters.From > r.filters.To.Value:
		return false
	}
	return !r.head.Set || r.filters.From <= r.head.Value
}

// firstWindow is the number of versions that fill a page, as far as one can tell.
func (r *reading) firstWindow() uint64 {
	return max(uint64(r.reader.via.settings().PageBytes)/usualBatch, narrowestWindow)
}
