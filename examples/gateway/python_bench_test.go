//go:build python

package main

import (
	"context"
	"flag"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

var pythonEvents = flag.Int("python.events", 1_000_000, "how many events the Python client is given")

// BenchmarkPythonClient measures how many events a second the Python client adds to its
// read model: batches of 10 of 100 bytes, 250 aggregates, one transaction for each message.
func BenchmarkPythonClient(b *testing.B) {
	w := newPythonWorld(b)
	const each, aggregates = 10, 250
	batch := make([]msg.Event, each)
	for i := range batch {
		batch[i] = msg.Event{ClientSeq: 1, Major: 1, Value: make([]byte, 100)}
	}
	for i := range *pythonEvents / each {
		key := msg.Key{Org: org, Type: orders, Aggregate: msg.IDFromUint64(uint64(i%aggregates + 1))}
		if _, err := w.client.WriteEvents(context.Background(), key, batch, writerID); err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	kill := w.run()
	defer kill()
	for sum := 0; sum < *pythonEvents/each*each; {
		sum = 0
		for _, n := range w.counts() {
			sum += n
		}
		time.Sleep(20 * time.Millisecond) // the client is another process
	}
	b.ReportMetric(float64(*pythonEvents)/time.Since(began).Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}
