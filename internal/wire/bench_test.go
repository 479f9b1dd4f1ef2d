package wire_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// page is a read response of batches with 200-byte payloads.
func page(batches, events int) *msg.ReadResponse {
	resp := &msg.ReadResponse{Correlated: corr, NextVersion: msg.Some[uint64](1 << 40)}
	seq := uint64(0)
	for b := range batches {
		batch := msg.Batch{Version: uint64(b + 1), ClientID: client, ServerTimestamp: 1700000000123}
		for range events {
			seq++
			batch.Events = append(batch.Events, msg.Event{ClientSeq: seq, EventSeq: seq, EventID: msg.Some(event),
				Timestamp: 1700000000000, Major: 10, Minor: 1, Value: bytes.Repeat([]byte{byte(seq)}, 200)})
		}
		resp.Batches = append(resp.Batches, batch)
	}
	return resp
}

func versions(b *testing.B, run func(b *testing.B, v wire.Version)) {
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		b.Run(fmt.Sprintf("v%d", v), func(b *testing.B) { run(b, v) })
	}
}

func bodyOf(b *testing.B, v wire.Version, m any) []byte {
	b.Helper()
	return encodeFrame(b, v, m)[wire.HeaderSize:]
}

func perEvent(b *testing.B, events int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}

func BenchmarkDecodeReadReused(b *testing.B) {
	versions(b, func(b *testing.B, v wire.Version) {
		body := bodyOf(b, v, page(100, 10))
		var into wire.ReadPage
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if err := wire.DecodeRead(v, body, &into); err != nil {
				b.Fatal(err)
			}
		}
		perEvent(b, 1000)
	})
}

func BenchmarkDecodeReadFresh(b *testing.B) {
	versions(b, func(b *testing.B, v wire.Version) {
		body := bodyOf(b, v, page(100, 10))
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := wire.DecodeResponse(v, msg.TypeReadResponse, body); err != nil {
				b.Fatal(err)
			}
		}
		perEvent(b, 1000)
	})
}

func BenchmarkEncodeRead(b *testing.B) {
	versions(b, func(b *testing.B, v wire.Version) {
		resp := page(100, 10)
		benchmarkAppend(b, 1000, func(dst []byte) ([]byte, error) { return wire.AppendResponse(dst, v, resp, nil, 0) })
	})
}

func BenchmarkEncodeWrite(b *testing.B) {
	versions(b, func(b *testing.B, v wire.Version) {
		req := &msg.WriteRequest{Correlated: corr, ClientID: client,
			Writes: []msg.AggregateWrite{{Key: key, Events: page(1, 10).Batches[0].Events}}}
		benchmarkAppend(b, 10, func(dst []byte) ([]byte, error) { return wire.AppendRequest(dst, v, req, nil, 0) })
	})
}

func benchmarkAppend(b *testing.B, events int, encode func([]byte) ([]byte, error)) {
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = encode(buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
	perEvent(b, events)
}

func BenchmarkDecodeWatch(b *testing.B) {
	versions(b, func(b *testing.B, v wire.Version) {
		resp := &msg.WatchResponse{Notifications: make([]msg.Notification, 100)}
		for i := range resp.Notifications {
			resp.Notifications[i] = msg.Notification{Key: key, Operation: msg.OpWrite,
				From: msg.Some(uint64(i)), To: msg.Some(uint64(i))}
		}
		body := bodyOf(b, v, resp)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := wire.DecodeResponse(v, msg.TypeWatchResponse, body); err != nil {
				b.Fatal(err)
			}
		}
		perEvent(b, 100)
	})
}

func BenchmarkReadFrame(b *testing.B) {
	versions(b, func(b *testing.B, v wire.Version) {
		frame := encodeFrame(b, v, page(10, 10))
		r := bytes.NewReader(frame)
		var buf []byte
		b.SetBytes(int64(len(frame)))
		b.ReportAllocs()
		for b.Loop() {
			r.Reset(frame)
			_, body, err := wire.ReadResponseFrame(r, 0, nil, buf)
			if err != nil {
				b.Fatal(err)
			}
			buf = body
		}
	})
}
