package pool_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// history is an aggregate on a fake node, oldest batch first. Like the real
// one it collects backwards from the newest batch and stops at the first
// version below From, so that reads from 1 run into earlier lives.
type history struct {
	batches []msg.Batch
	pageCap int // batches per page, 0 for no limit
	largest int // the most batches a page has had
	sizes   []int
	widest  uint64
}

func batch(version uint64) msg.Batch {
	return msg.Batch{Version: version, ClientID: me, ServerTimestamp: version,
		Events: []msg.Event{{ClientSeq: 1, EventSeq: version, Major: 1, Value: []byte{byte(version)}}}}
}

func batches(versions ...uint64) (all []msg.Batch) {
	for _, v := range versions {
		all = append(all, batch(v))
	}
	return all
}

func (h *history) reply(_ *peer, req msg.Request) msg.Response {
	switch r := req.(type) {
	case *msg.DetailsRequest:
		head := uint64(0)
		for _, b := range h.batches {
			head = max(head, b.Version)
		}
		return &msg.DetailsResponse{MinVersion: 1, MaxVersion: head}
	case *msg.ReadRequest:
		resp := &msg.ReadResponse{}
		to := r.Filters.To.Or(1 << 62)
		h.widest = max(h.widest, to-r.Filters.From+1)
		for _, b := range slices.Backward(h.batches) {
			if b.Version < r.Filters.From {
				break
			}
			if include, ok := r.Filters.IncludeClientID.Get(); b.Version <= to && (!ok || include == b.ClientID) {
				resp.Batches = append(resp.Batches, b)
			}
		}
		slices.Reverse(resp.Batches)
		if h.pageCap > 0 && len(resp.Batches) > h.pageCap {
			resp.NextVersion = msg.Some(resp.Batches[h.pageCap].Version)
			resp.Batches = resp.Batches[:h.pageCap]
		}
		h.largest = max(h.largest, len(resp.Batches))
		h.sizes = append(h.sizes, len(resp.Batches))
		return resp
	}
	return nil
}

func readAll(p *pool.Pool, filters msg.ReadFilters) (versions []uint64, err error) {
	for b, err := range p.ReadAll(ctx, key, filters) {
		if err != nil {
			return versions, err
		}
		versions = append(versions, b.Version)
	}
	return versions, nil
}

func upTo(n uint64) (all []uint64) {
	for v := range n {
		all = append(all, v+1)
	}
	return all
}

func TestReadAll(t *testing.T) {
	other := batch(1)
	other.ClientID, other.ServerTimestamp = org, 99
	to := msg.Some[uint64]
	for _, c := range []struct {
		name    string
		history history
		filters msg.ReadFilters
		want    []uint64
	}{
		{"empty", history{}, msg.ReadFilters{}, nil},
		{"one batch", history{batches: batches(1)}, msg.ReadFilters{}, []uint64{1}},
		{"several windows", history{batches: batches(upTo(3000)...)}, msg.ReadFilters{}, upTo(3000)},
		{"node's own pages", history{batches: batches(upTo(1000)...), pageCap: 7}, msg.ReadFilters{}, upTo(1000)},
		{"from the middle", history{batches: batches(upTo(10)...)}, msg.ReadFilters{From: 8}, []uint64{8, 9, 10}},
		{"from beyond the end", history{batches: batches(upTo(10)...)}, msg.ReadFilters{From: 11}, nil},
		{"to the middle", history{batches: batches(upTo(10)...)}, msg.ReadFilters{To: to(3)}, upTo(3)},
		{"to 1", history{batches: batches(upTo(10)...)}, msg.ReadFilters{To: to(1)}, upTo(1)},
		{"to 0", history{batches: batches(upTo(10)...)}, msg.ReadFilters{To: to(0)}, nil},
		{"to below from", history{batches: batches(upTo(10)...)}, msg.ReadFilters{From: 5, To: to(4)}, nil},
		{"to behind the node's own page", history{batches: batches(upTo(50)...), pageCap: 7}, msg.ReadFilters{To: to(20)}, upTo(20)},
		{"to beyond the end", history{batches: batches(upTo(10)...)}, msg.ReadFilters{To: to(1 << 63)}, upTo(10)},
		{"a hole wider than windows", history{batches: batches(1, 100_000, 100_001)}, msg.ReadFilters{}, []uint64{1, 100_000, 100_001}},
		{"earlier lives", history{batches: batches(1, 2, 3, 1, 4, 5)}, msg.ReadFilters{}, []uint64{1, 4, 5}},
		{"three lives", history{batches: batches(1, 2, 1, 1, 3)}, msg.ReadFilters{}, []uint64{1, 3}},
		{"earlier lives, filtered", history{batches: append(batches(1, 2), other, batch(3))},
			msg.ReadFilters{IncludeClientID: msg.Some(me)}, []uint64{3}},
		{"filtered", history{batches: append(batches(1), batch(2))},
			msg.ReadFilters{IncludeClientID: msg.Some(me)}, []uint64{1, 2}},
		{"earlier lives behind the first page", history{batches: append(batches(upTo(1500)...), batches(1, 1501)...)}, msg.ReadFilters{}, []uint64{1, 1501}},
		{"earlier lives behind a short page", history{batches: append(batches(upTo(20)...), batches(1, 21, 22)...), pageCap: 7}, msg.ReadFilters{}, []uint64{1, 21, 22}},
		{"a life that was one batch", history{batches: batches(1, 1)}, msg.ReadFilters{}, []uint64{1}},
		{"no batch 1", history{batches: batches(3, 4)}, msg.ReadFilters{}, []uint64{3, 4}},
		{"the same batch twice", history{batches: batches(1, 2, 2, 3)}, msg.ReadFilters{}, []uint64{1, 2, 3}},
	} {
		f := serve(t, each(c.history.reply))
		got, err := readAll(open(t, plain(f)), c.filters)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %d versions %v, %v", c.name, len(got), got[:min(len(got), 20)], err)
		}
	}
}

// Pages that make no sense end the iteration instead of being believed.
func TestReadAllRefusesNonsense(t *testing.T) {
	next := msg.Some[uint64]
	for name, page := range map[string]*msg.ReadResponse{
		"next does not advance":      {Batches: batches(5), NextVersion: next(5)},
		"next goes back":             {Batches: batches(5), NextVersion: next(4)},
		"versions fall":              {Batches: batches(6, 5)},
		"a version twice, different": {Batches: []msg.Batch{batch(5), {Version: 5, ClientID: org, Events: batch(5).Events}}},
		"below what was asked":       {Batches: batches(4)},
		"above what was asked":       {Batches: batches(10)},
	} {
		f := serve(t, each(func(_ *peer, req msg.Request) msg.Response {
			if _, ok := req.(*msg.DetailsRequest); ok {
				return &msg.DetailsResponse{MaxVersion: 9}
			}
			copied := *page
			return &copied
		}))
		if got, err := readAll(open(t, plain(f)), msg.ReadFilters{From: 5, To: next(9)}); !errors.Is(err, pool.ErrProtocol) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// A node may put its newest batches behind the place its next version names;
// they come again in their turn.
func TestReadAllIgnoresBatchesAtOrAboveNext(t *testing.T) {
	h := history{batches: batches(upTo(8)...)}
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		if r, ok := req.(*msg.ReadRequest); ok && r.Filters.From == 2 {
			return &msg.ReadResponse{Batches: batches(2, 3, 7, 8), NextVersion: msg.Some[uint64](4)}
		}
		return h.reply(p, req)
	}))
	got, err := readAll(open(t, plain(f)), msg.ReadFilters{From: 2, To: msg.Some[uint64](8)})
	if err != nil || !slices.Equal(got, upTo(8)[1:]) {
		t.Errorf("%v, %v", got, err)
	}
}

// A first page that cannot be what it seems is not believed: what reads of
// version 1 alone and from 2 on show is.
func TestReadAllDoubtsItsFirstPage(t *testing.T) {
	recreated := batch(1)
	recreated.ClientID = org
	next := msg.Some[uint64]
	for name, c := range map[string]struct {
		page  msg.ReadResponse
		first []msg.Batch
		rest  []uint64
	}{
		"no batch 1":                   {msg.ReadResponse{Batches: batches(2, 3)}, nil, []uint64{3}},
		"above what was asked":         {msg.ReadResponse{Batches: batches(1, 5000)}, batches(1), []uint64{2, 3}},
		"recreated behind it":          {msg.ReadResponse{Batches: batches(1, 2), NextVersion: next(3)}, []msg.Batch{recreated}, []uint64{7}},
		"batches above a hole":         {msg.ReadResponse{Batches: batches(1, 2, 7, 8), NextVersion: next(3)}, batches(1), upTo(8)[1:]},
		"deleted and gone":             {msg.ReadResponse{Batches: batches(1, 2), NextVersion: next(3)}, nil, nil},
		"another life behind the page": {msg.ReadResponse{Batches: batches(1, 2), NextVersion: next(3)}, []msg.Batch{batch(1), recreated}, []uint64{3}},
	} {
		f := serve(t, each(func(_ *peer, req msg.Request) msg.Response {
			r, reads := req.(*msg.ReadRequest)
			switch {
			case !reads:
				return &msg.DetailsResponse{MinVersion: 1, MaxVersion: 8}
			case r.Filters.From == 1 && r.Filters.To.Value == 1:
				return &msg.ReadResponse{Batches: c.first}
			case r.Filters.From == 1:
				page := c.page
				return &page
			case r.Filters.From == 2:
				return &msg.ReadResponse{Batches: batches(c.rest...)}
			}
			t.Errorf("%s: a read from %d", name, r.Filters.From)
			return &msg.ReadResponse{}
		}))
		var want, got []msg.Batch
		if n := len(c.first); n > 0 {
			want = c.first[n-1:]
		}
		want = append(want[:len(want):len(want)], batches(c.rest...)...)
		for b, err := range open(t, plain(f)).ReadAll(ctx, key, msg.ReadFilters{}) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			got = append(got, b)
		}
		same := func(a, b msg.Batch) bool { return a.Version == b.Version && a.ClientID == b.ClientID }
		if !slices.EqualFunc(got, want, same) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

// Of an aggregate that is deleted the details still tell a newest version; only
// a read says that it is gone, even from behind that version.
func TestReadAllReadsBehindTheEnd(t *testing.T) {
	f := serve(t, each(func(_ *peer, req msg.Request) msg.Response {
		if _, ok := req.(*msg.DetailsRequest); ok {
			return &msg.DetailsResponse{MinVersion: 1, MaxVersion: 2, Deleted: true}
		}
		return &msg.ErrorResponse{Code: msg.CodeReadNotFound, Message: "{}"}
	}))
	if got, err := readAll(open(t, plain(f)), msg.ReadFilters{From: 5}); !errors.Is(err, msg.ErrNotFound) {
		t.Errorf("%v, %v", got, err)
	}
}

// Windows follow the weight of batches: heavy ones come few at a time.
func TestReadAllBoundsItsPages(t *testing.T) {
	h := history{}
	for v := range uint64(600) {
		b := batch(v + 1)
		b.Events[0].Value = make([]byte, 2000)
		h.batches = append(h.batches, b)
	}
	f := serve(t, each(h.reply))
	opts := plain(f)
	opts.PageBytes = 20_000
	got, err := readAll(open(t, opts), msg.ReadFilters{From: 300})
	if err != nil || len(got) != 301 {
		t.Fatal(len(got), err)
	}
	for i, size := range h.sizes {
		if i > 0 && size > 10 { // behind the first window
			t.Errorf("page %d of %d batches of 2000 bytes, asked for 20,000 bytes", i, size)
		}
	}
}

// A page beyond MaxResponseSize is asked for again in smaller parts; a single
// batch beyond it is an error.
func TestReadAllNarrowsPagesThatAreTooLarge(t *testing.T) {
	h := history{batches: batches(upTo(50)...)}
	for i := range h.batches {
		h.batches[i].Events[0].Value = make([]byte, 1000)
	}
	f := serve(t, each(h.reply))
	opts := plain(f)
	opts.MaxResponseSize = 3000
	p := open(t, opts)
	if got, err := readAll(p, msg.ReadFilters{}); err != nil || !slices.Equal(got, upTo(50)) {
		t.Errorf("%v, %v", got, err)
	}
	h.batches[30].Events[0].Value = make([]byte, 4000)
	got, err := readAll(p, msg.ReadFilters{})
	if !errors.Is(err, pool.ErrResponseTooLarge) || !slices.Equal(got, upTo(30)) {
		t.Errorf("%v, %v", got, err)
	}
}

// A page and the question whether it was all are enough for a short aggregate;
// with an upper bound that the page covers, the page is.
func TestReadAllAsksLittle(t *testing.T) {
	for to, want := range map[msg.Opt[uint64]]int{msg.None[uint64](): 2, msg.Some[uint64](50): 1, msg.Some[uint64](80): 1} {
		h := history{batches: batches(upTo(50)...)}
		requests := 0
		f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
			requests++
			return h.reply(p, req)
		}))
		got, err := readAll(open(t, plain(f)), msg.ReadFilters{To: to})
		if err != nil || !slices.Equal(got, upTo(50)) || requests != want {
			t.Errorf("to %v: %d versions in %d requests, want %d: %v", to, len(got), requests, want, err)
		}
	}
}

func TestReadAllHandsErrorsOn(t *testing.T) {
	f := serve(t, each(func(*peer, msg.Request) msg.Response {
		return &msg.ErrorResponse{Code: msg.CodeReadNotFound, Message: "{}"}
	}))
	p := open(t, plain(f))
	if _, err := readAll(p, msg.ReadFilters{}); !errors.Is(err, msg.ErrNotFound) {
		t.Error(err)
	}
	if _, err := readAll(p, msg.ReadFilters{From: 3}); !errors.Is(err, msg.ErrNotFound) {
		t.Error(err)
	}
}

func TestReadAllHoldsNoConnection(t *testing.T) {
	h := history{batches: batches(upTo(10)...), pageCap: 2}
	f := serve(t, each(h.reply))
	opts := plain(f)
	opts.MaxConnections = 1
	p := open(t, opts)
	count := 0
	for _, err := range p.ReadAll(ctx, key, msg.ReadFilters{}) {
		if err != nil {
			t.Fatal(err)
		}
		if count++; count == 5 {
			break
		}
		if _, err := p.Read(ctx, &msg.ReadRequest{Key: key}); err != nil {
			t.Fatal(err)
		}
	}
}
