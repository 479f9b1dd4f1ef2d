package pool_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// ReadEach shows what ReadAll shows.
func TestReadEach(t *testing.T) {
	for name, c := range map[string]struct {
		history history
		filters msg.ReadFilters
	}{
		"empty":               {history{}, msg.ReadFilters{}},
		"several windows":     {history{batches: batches(upTo(3000)...)}, msg.ReadFilters{}},
		"node's own pages":    {history{batches: batches(upTo(100)...), pageCap: 7}, msg.ReadFilters{}},
		"from the middle":     {history{batches: batches(upTo(10)...)}, msg.ReadFilters{From: 8}},
		"earlier lives":       {history{batches: batches(1, 2, 3, 1, 4, 5)}, msg.ReadFilters{}},
		"lives behind a page": {history{batches: append(batches(upTo(20)...), batches(1, 21, 22)...), pageCap: 7}, msg.ReadFilters{}},
		"filtered":            {history{batches: batches(1, 2)}, msg.ReadFilters{IncludeClientID: msg.Some(me)}},
		"the same twice":      {history{batches: batches(1, 2, 2, 3)}, msg.ReadFilters{}},
	} {
		p := open(t, plain(serve(t, each(c.history.reply))))
		var want, got []msg.Batch
		for b, err := range p.ReadAll(ctx, key, c.filters) {
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, b)
		}
		for b, err := range p.ReadEach(ctx, key, c.filters) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b.Clone())
		}
		if len(want) != len(got) || len(want) > 0 && !reflect.DeepEqual(want, got) {
			t.Errorf("%s: %d batches, want %d", name, len(got), len(want))
		}
	}
}

func TestReadEachHandsErrorsOn(t *testing.T) {
	f := serve(t, each(func(*peer, msg.Request) msg.Response {
		return &msg.ErrorResponse{Code: msg.CodeReadNotFound, Message: "{}"}
	}))
	n := 0
	for b, err := range open(t, plain(f)).ReadEach(ctx, key, msg.ReadFilters{}) {
		if n++; b != nil || !errors.Is(err, msg.ErrNotFound) {
			t.Errorf("%v, %v", b, err)
		}
	}
	if n != 1 {
		t.Errorf("%d elements", n)
	}
}

// The batch at which the loop is left is nobody else's, whatever is read then.
func TestReadEachLeavesTheLastBatchAlone(t *testing.T) {
	h := history{batches: batches(upTo(60)...), pageCap: 20}
	p := open(t, plain(serve(t, each(h.reply))))
	for _, stop := range []uint64{1, 20, 21, 47, 60} {
		var last *msg.Batch
		for b, err := range p.ReadEach(ctx, key, msg.ReadFilters{}) {
			if err != nil {
				t.Fatal(err)
			}
			if last = b; b.Version == stop {
				break
			}
		}
		for range 4 {
			for _, err := range p.ReadEach(ctx, key, msg.ReadFilters{From: 5}) {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		if !reflect.DeepEqual(*last, batch(stop)) {
			t.Errorf("version %d became %+v", stop, last)
		}
	}
}

// content is a batch that differs from all others in every field that has memory
// of its own.
func content(aggregate, version uint64) msg.Batch {
	b := batch(version)
	b.Events = nil
	for i := range 1 + version%4 {
		b.Events = append(b.Events, msg.Event{ClientSeq: i + 1, EventSeq: aggregate, Major: 1, Value: []byte(fmt.Sprintf("%d/%d/%d", aggregate, version, i))})
	}
	b.Events[0].Value = b.Events[0].Value[:min(uint64(len(b.Events[0].Value)), version%3)] // some are empty
	return b
}

// Batches that Read and ReadAll have returned may be kept and changed: other readers,
// which share memory by turns, do not overwrite them.
func TestOwnedBatchesStay(t *testing.T) {
	const readers, aggregates, versions = 4, 6, 90
	f := serve(t, each(func(_ *peer, req msg.Request) msg.Response {
		r, ok := req.(*msg.ReadRequest)
		if !ok {
			return &msg.DetailsResponse{MinVersion: 1, MaxVersion: versions}
		}
		resp := &msg.ReadResponse{}
		_, aggregate := r.Key.Aggregate.Uint64s()
		for v := r.Filters.From; v <= min(versions, r.Filters.To.Or(versions)); v++ {
			if len(resp.Batches) == int(10+aggregate) {
				resp.NextVersion = msg.Some(v)
				break
			}
			resp.Batches = append(resp.Batches, content(aggregate, v))
		}
		return resp
	}))
	p := open(t, plain(f))
	var all sync.WaitGroup
	for reader := range uint64(readers) {
		all.Go(func() {
			kept := make(map[uint64][]msg.Batch)
			for round := range uint64(aggregates) {
				aggregate := (round + reader) % aggregates
				for b, err := range p.ReadAll(ctx, keyOf(aggregate), msg.ReadFilters{}) {
					if err != nil {
						t.Error(err)
						return
					}
					kept[aggregate] = append(kept[aggregate], b)
				}
				for b, err := range p.ReadEach(ctx, keyOf(aggregate), msg.ReadFilters{}) {
					if err != nil || !reflect.DeepEqual(*b, content(aggregate, b.Version)) {
						t.Errorf("%+v, %v", b, err)
						return
					}
				}
				resp, err := p.Read(ctx, &msg.ReadRequest{Key: keyOf(aggregate), Filters: msg.ReadFilters{From: versions - 5}})
				if err != nil {
					t.Error(err)
					return
				}
				kept[aggregate+aggregates] = resp.Batches
			}
			for which, batches := range kept {
				if want := versions; which < aggregates && len(batches) != want {
					t.Errorf("%d batches kept", len(batches))
				}
				for i := range batches {
					if b := &batches[i]; !reflect.DeepEqual(*b, content(which%aggregates, b.Version)) {
						t.Errorf("aggregate %d, version %d became %+v", which, b.Version, b)
					}
					for j := range batches[i].Events { // which is nobody else's
						e := &batches[i].Events[j]
						clear(e.Value)
						e.Value = append(e.Value, "more"...)
					}
				}
			}
		})
	}
	all.Wait()
}

// A page too large to be moved is given away as it is.
func TestLargePagesAreGivenAway(t *testing.T) {
	n := celerianttest.Run(t, celerianttest.Options{})
	p := open(t, pool.Options{Address: n.Addr(), PageBytes: 16 << 20})
	const batches, size = 6, 1 << 20
	for v := range batches {
		value := make([]byte, size)
		for i := range value {
			value[i] = byte(v)
		}
		if _, err := p.WriteEvents(ctx, key, events(1, value), me, pool.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(all []msg.Batch) {
		t.Helper()
		if len(all) != batches {
			t.Fatalf("%d batches", len(all))
		}
		for v, b := range all {
			if value := b.Events[0].Value; len(value) != size || value[0] != byte(v) || value[size-1] != byte(v) {
				t.Errorf("version %d is another", b.Version)
			}
		}
	}
	var kept [][]msg.Batch
	for range 3 {
		resp, err := p.Read(ctx, &msg.ReadRequest{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		var all []msg.Batch
		for b, err := range p.ReadAll(ctx, key, msg.ReadFilters{}) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b)
		}
		kept = append(kept, resp.Batches, all)
	}
	for _, all := range kept {
		check(all)
	}
}

// ReadEach leaves hardly any garbage, ReadAll none for each event.
func TestReadEachAllocations(t *testing.T) {
	f, _ := canned(t, wire.V2, fullPage(1000), &msg.DetailsResponse{MinVersion: 1, MaxVersion: 1000})
	p := open(t, plain(f))
	for name, read := range map[string]func() int{
		"each": func() (n int) {
			for range p.ReadEach(context.Background(), key, msg.ReadFilters{}) {
				n++
			}
			return n
		},
		"all": func() (n int) {
			for range p.ReadAll(context.Background(), key, msg.ReadFilters{}) {
				n++
			}
			return n
		},
	} {
		if got := testing.AllocsPerRun(20, func() {
			if n := read(); n != 1000 {
				t.Fatal(n)
			}
		}); got > 60 {
			t.Errorf("%s: %v allocations for 1000 events", name, got)
		}
	}
}
