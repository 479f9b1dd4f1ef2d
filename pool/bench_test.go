package pool_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// canned answers every request of a type with the same frame, the request's
// correlation id copied into it, at the least possible cost: in both versions the
// id lies at a fixed place. The frame returned is the first one.
func canned(b testing.TB, version wire.Version, answers ...msg.Response) (*fake, []byte) {
	frames := make(map[msg.ResponseType][]byte)
	for _, resp := range answers {
		resp.(interface{ SetCorrelation(msg.Opt[msg.ID]) }).SetCorrelation(msg.Some(msg.ID{}))
		frame, err := wire.AppendResponse(nil, version, resp, nil, 0)
		if err != nil {
			b.Fatal(err)
		}
		frames[resp.ResponseType()] = frame
	}
	idAt := wire.HeaderSize + 1 // behind the mark that it is there
	if version == wire.V3 {
		idAt += 2 // array, bin, length
	}
	f := serve(b, func(p *peer) {
		in, own := make([]byte, 64<<10), make(map[msg.ResponseType][]byte)
		for kind, frame := range frames {
			own[kind] = append([]byte(nil), frame...)
		}
		for {
			n, err := p.Read(in)
			if err != nil {
				return
			}
			if want := wire.HeaderSize + int(binary.LittleEndian.Uint32(in[8:])); n < want {
				if _, err := io.ReadFull(p, in[n:want]); err != nil {
					return
				}
			}
			out := own[msg.ResponseType(binary.LittleEndian.Uint32(in[4:]))] // requests answered here are numbered alike
			copy(out[idAt:idAt+16], in[idAt:])
			p.Write(out)
		}
	})
	return f, frames[answers[0].ResponseType()]
}

// bare returns the same exchange on a socket of its own: the floor.
func bare(b *testing.B, f *fake, req msg.Request, answer []byte) func() error {
	req.SetCorrelation(msg.Some(me))
	frame, err := wire.AppendRequest(nil, wire.V2, req, nil, 0)
	if err != nil {
		b.Fatal(err)
	}
	nc, err := net.Dial("tcp", f.address())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nc.Close() })
	in := make([]byte, len(answer))
	return func() error {
		if _, err := nc.Write(frame); err != nil {
			return err
		}
		_, err := io.ReadFull(nc, in)
		return err
	}
}

// paired runs the two in turn, so that whatever else the machine does strikes
// both, and compares their medians.
func paired(b *testing.B, floor, operation func() error) {
	var floors, operations []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		err := floor()
		between := time.Now()
		err = errors.Join(err, operation())
		ended := time.Now()
		if err != nil {
			b.Fatal(err)
		}
		floors, operations = append(floors, between.Sub(began)), append(operations, ended.Sub(between))
	}
	slices.Sort(floors)
	slices.Sort(operations)
	least, most := floors[len(floors)/2], operations[len(operations)/2]
	b.ReportMetric(float64(least), "bare-ns")
	b.ReportMetric(float64(most), "pool-ns")
	b.ReportMetric(float64(most)/float64(least), "pool/bare")
}

func BenchmarkRoundTrip(b *testing.B) {
	f, answer := canned(b, wire.V2, &msg.DetailsResponse{})
	p := open(b, plain(f))
	floor := bare(b, f, &msg.DetailsRequest{Key: key}, answer)
	cancellable, cancel := context.WithCancel(ctx)
	defer cancel()
	for name, ctx := range map[string]context.Context{"plain": ctx, "cancellable": cancellable} {
		b.Run(name, func(b *testing.B) {
			paired(b, floor, func() error { _, err := p.Details(ctx, key); return err })
		})
	}
}

// fullPage is a page of n batches of one 200-byte event each.
func fullPage(n int) *msg.ReadResponse {
	page := &msg.ReadResponse{}
	for v := uint64(1); v <= uint64(n); v++ {
		page.Batches = append(page.Batches, msg.Batch{Version: v, ClientID: me, ServerTimestamp: v,
			Events: []msg.Event{{ClientSeq: v, EventSeq: v, Timestamp: v, Major: 1, Value: make([]byte, 200)}}})
	}
	return page
}

// BenchmarkReadPage reads 1000 events of 200 bytes at a time.
func BenchmarkReadPage(b *testing.B) {
	f, answer := canned(b, wire.V2, fullPage(1000))
	p := open(b, plain(f))
	req, page := &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: 1}}, new(pool.Page)
	floor := bare(b, f, &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: 1}}, answer)
	b.Run("owned", func(b *testing.B) {
		paired(b, floor, func() error { _, err := p.Read(ctx, req); return err })
	})
	b.Run("reused", func(b *testing.B) {
		paired(b, floor, func() error { return p.ReadInto(ctx, req, page) })
	})
}

// BenchmarkReadAll reads an aggregate of 1000 events of 200 bytes with all that
// belongs to it, beside the bare page into memory used again.
func BenchmarkReadAll(b *testing.B) {
	f, _ := canned(b, wire.V2, fullPage(1000), &msg.DetailsResponse{MinVersion: 1, MaxVersion: 1000})
	p := open(b, plain(f))
	req, page := &msg.ReadRequest{Key: key}, new(pool.Page)
	floor := func() error { return p.ReadInto(ctx, req, page) }
	count := func(n int) error {
		if n != 1000 {
			return fmt.Errorf("%d batches", n)
		}
		return nil
	}
	b.Run("owned", func(b *testing.B) {
		paired(b, floor, func() error {
			n := 0
			for _, err := range p.ReadAll(ctx, key, msg.ReadFilters{}) {
				if err != nil {
					return err
				}
				n++
			}
			return count(n)
		})
	})
	b.Run("reused", func(b *testing.B) {
		paired(b, floor, func() error {
			n := 0
			for _, err := range p.ReadEach(ctx, key, msg.ReadFilters{}) {
				if err != nil {
					return err
				}
				n++
			}
			return count(n)
		})
	})
}

// Reading costs no allocation per event.
func TestReadAllocations(t *testing.T) {
	f, _ := canned(t, wire.V2, fullPage(1000))
	p := open(t, plain(f))
	req := &msg.ReadRequest{Key: key}
	got := testing.AllocsPerRun(20, func() {
		if page, err := p.Read(context.Background(), req); err != nil || len(page.Batches) != 1000 {
			t.Fatal(err)
		}
	})
	if got > 40 {
		t.Errorf("%v allocations for 1000 events", got)
	}
}

// BenchmarkVersions compares the client's part of the two codecs; the node
// costs the same for both.
func BenchmarkVersions(b *testing.B) {
	for _, version := range []wire.Version{wire.V2, wire.V3} {
		at := func(resp msg.Response) *pool.Pool {
			f, _ := canned(b, version, resp)
			opts := plain(f)
			opts.ProtocolVersion = int(version)
			return open(b, opts)
		}
		run := func(name string, p *pool.Pool, operation func(*pool.Pool) error) {
			b.Run(fmt.Sprintf("%s v%d", name, version), func(b *testing.B) {
				for b.Loop() {
					if err := operation(p); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("details", at(&msg.DetailsResponse{}), func(p *pool.Pool) error {
			_, err := p.Details(context.Background(), key)
			return err
		})
		run("page", at(fullPage(1000)), func(p *pool.Pool) error {
			_, err := p.Read(context.Background(), &msg.ReadRequest{Key: key})
			return err
		})
		run("write", at(&msg.WriteResponse{MaxVersion: msg.Some[uint64](1)}), func(p *pool.Pool) error {
			_, err := p.WriteEvents(context.Background(), key, fullPage(1).Batches[0].Events, me, pool.WriteOptions{})
			return err
		})
	}
}

// BenchmarkContended has many more callers than connections.
func BenchmarkContended(b *testing.B) {
	f, _ := canned(b, wire.V2, &msg.DetailsResponse{})
	opts := plain(f)
	opts.MaxConnections = 2
	p := open(b, opts)
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := p.Details(context.Background(), key); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
