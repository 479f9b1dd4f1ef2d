package pool_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// A page shows the same as Read, whatever it held before, in both versions and
// from both versions' nodes.
func TestReadInto(t *testing.T) {
	for _, version := range []int{2, 3} {
		h := history{batches: batches(upTo(40)...)}
		h.batches[3].UserID = msg.Some(me)
		h.batches[5].Events[0].EventID = msg.Some(org)
		f := serve(t, each(h.reply))
		opts := plain(f)
		opts.ProtocolVersion = version
		p := open(t, opts)
		var page pool.Page
		for _, filters := range []msg.ReadFilters{{}, {From: 30}, {From: 5, To: msg.Some[uint64](6)}, {From: 41}, {From: 1}} {
			req := &msg.ReadRequest{Key: key, Filters: filters}
			want, err := p.Read(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.ReadInto(ctx, req, &page); err != nil {
				t.Fatal(err)
			}
			same := len(want.Batches) == len(page.Batches) && want.NextVersion == page.NextVersion
			for i := range want.Batches {
				same = same && reflect.DeepEqual(want.Batches[i], page.Batches[i])
			}
			if !same {
				t.Errorf("version %d, %+v: got %v, want %v", version, filters, page.Batches, want.Batches)
			}
		}
	}
}

// The content of a page is gone after an error, so that nobody takes it for an answer.
func TestReadIntoIsEmptyAfterAnError(t *testing.T) {
	h := history{batches: batches(1, 2)}
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		if r := req.(*msg.ReadRequest); r.Filters.From > 2 {
			return &msg.ErrorResponse{Code: msg.CodeReadNotFound, Message: "{}"}
		}
		return h.reply(p, req)
	}))
	p := open(t, plain(f))
	var page pool.Page
	if err := p.ReadInto(ctx, &msg.ReadRequest{Key: key}, &page); err != nil || len(page.Batches) != 2 {
		t.Fatal(len(page.Batches), err)
	}
	err := p.ReadInto(ctx, &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: 3}}, &page)
	if !errors.Is(err, msg.ErrNotFound) || len(page.Batches) != 0 {
		t.Errorf("%d batches, %v", len(page.Batches), err)
	}
}

// Compressed answers are unpacked into the page's memory, too, and a page that
// has grown serves smaller answers.
func TestReadIntoUnpacks(t *testing.T) {
	n, err := celerianttest.Start(celerianttest.Options{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	p := open(t, pool.Options{Address: "memory:1", Dial: n.DialContext})
	if _, err := p.WriteEvents(ctx, key, events(3, make([]byte, 5000)), me, pool.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.WriteEvents(ctx, key, events(1, []byte("small")), me, pool.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	var page pool.Page
	for range 3 {
		for from, want := range map[uint64][]int{1: {5000, 5000, 5000, 5}, 2: {5}} {
			if err := p.ReadInto(ctx, &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: from}}, &page); err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, b := range page.Batches {
				for _, e := range b.Events {
					got = append(got, len(e.Value))
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("from %d: payloads of %v bytes, want %v", from, got, want)
			}
		}
	}
}

// A connection lost inside the first answer leaves nothing of it behind.
func TestReadIntoIsRepeatedOnANewConnection(t *testing.T) {
	h := history{batches: batches(1, 2, 3)}
	f := serve(t, func(p *peer) {
		for req := p.next(); req != nil; req = p.next() {
			whole := p.frame(req, h.reply(p, req))
			if p.number == 0 && req.(*msg.ReadRequest).Filters.From == 2 {
				p.Write(whole[:len(whole)-3])
				return
			}
			p.Write(whole)
		}
	})
	p := open(t, plain(f))
	var page pool.Page
	for _, from := range []uint64{1, 2} {
		if err := p.ReadInto(ctx, &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: from}}, &page); err != nil {
			t.Fatal(err)
		}
		if got := uint64(len(page.Batches)); got != 4-from || page.Batches[0].Version != from {
			t.Errorf("from %d: %v", from, page.Batches)
		}
	}
}

// Reading again into a page allocates nothing for its events.
func TestReadIntoAllocations(t *testing.T) {
	f, _ := canned(t, wire.V2, fullPage(1000))
	p := open(t, plain(f))
	req, page := &msg.ReadRequest{Key: key}, new(pool.Page)
	got := testing.AllocsPerRun(20, func() {
		if err := p.ReadInto(ctx, req, page); err != nil || len(page.Batches) != 1000 {
			t.Fatal(err)
		}
	})
	if got > 4 {
		t.Errorf("%v allocations for 1000 events", got)
	}
}
