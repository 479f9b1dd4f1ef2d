package main_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/bench"
	"github.com/celeriant/celeriant-go/msg"
)

// eventually makes attempts that last longer each time, until one comes out as
// wanted: on a busy machine little may happen in a short one.
func eventually(t *testing.T, attempt func(seconds float64) error) {
	t.Helper()
	for seconds := 0.2; ; seconds *= 2 {
		err := attempt(seconds)
		if err == nil {
			return
		}
		if seconds > 10 {
			t.Fatal(err)
		}
	}
}

// lasting are the flags of a bench that lasts for a time.
func lasting(warmup, seconds float64) []string {
	return []string{"--warmup", fmt.Sprintf("%.3fs", warmup), "--seconds", fmt.Sprintf("%.3f", seconds)}
}

// figures runs a bench and reads its report, which must make sense in itself.
func figures(t *testing.T, node *celerianttest.Node, name string, args ...string) bench.Report {
	t.Helper()
	r := report(t, node, name, args...)
	if r.Operations == 0 {
		t.Fatalf("report %+v", r)
	}
	makesSense(t, r)
	return r
}

// report runs a bench and reads its report.
func report(t *testing.T, node *celerianttest.Node, name string, args ...string) bench.Report {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(ok(t, node, "", "bench "+name, append(args, "--json")...)))
	d.DisallowUnknownFields()
	var r bench.Report
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if r.Bench != name || r.Address != node.Addr() || r.Seconds <= 0 {
		t.Fatalf("report %+v", r)
	}
	return r
}

func makesSense(t *testing.T, r bench.Report) {
	t.Helper()
	near := func(what string, got, want float64) {
		if got < want*0.999 || got > want*1.001 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	near("operations per second", r.OperationsPerSecond, float64(r.Operations)/r.Seconds)
	near("batches per second", r.BatchesPerSecond, float64(r.Batches)/r.Seconds)
	near("events per second", r.EventsPerSecond, float64(r.Events)/r.Seconds)
	near("bytes per second", r.BytesPerSecond, float64(r.PayloadBytes)/r.Seconds)
	if l := r.Latency; l.P50 <= 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max || l.Mean > l.Max {
		t.Errorf("latencies %+v", l)
	}
	if r.CPU == nil {
		if runtime.GOOS == "linux" {
			t.Error("no processor time")
		}
		return
	}
	near("processor time per operation", r.CPU.PerOperation*float64(r.Operations)/1e6, r.CPU.UserSeconds+r.CPU.SystemSeconds)
	near("processor time per event", r.CPU.PerEvent*float64(r.Events)/1e6, r.CPU.UserSeconds+r.CPU.SystemSeconds)
	near("processors", r.CPU.Processors*r.Seconds, r.CPU.UserSeconds+r.CPU.SystemSeconds)
}

func TestBenchSeedAndReadAll(t *testing.T) {
	// Small pages, so that an aggregate needs several.
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2, MaxResponseSize: 4 << 10})
	size := []string{"--aggregates", "50", "--batches", "20", "--events", "3"}
	seed := figures(t, node, "seed", with(size, "--bytes", "100", "--connections", "4")...)
	if seed.Operations != 1000 || seed.Batches != 1000 || seed.Events != 3000 || seed.PayloadBytes != 300_000 || seed.Connections != 4 {
		t.Errorf("seed %+v", seed)
	}
	if got := node.Stats().Requests[msg.TypeWriteRequest]; got != 1000 {
		t.Errorf("the node got %d writes", got)
	}
	readAll := func(warmup string) (uint64, uint64) {
		before := node.Stats().Requests[msg.TypeReadRequest]
		read := figures(t, node, "readall", with(size, "--connections", "3", "--warmup", warmup)...)
		if read.Batches != 1000 || read.Events != 3000 || read.PayloadBytes != 300_000 || read.Operations <= 50 {
			t.Errorf("readall %+v", read)
		}
		return read.Operations, node.Stats().Requests[msg.TypeReadRequest] - before
	}
	if operations, requests := readAll("0"); requests != operations {
		t.Errorf("readall without a warm-up counts %d operations, the node %d", operations, requests)
	}
	eventually(t, func(seconds float64) error {
		if operations, requests := readAll(fmt.Sprintf("%.3fs", seconds/10)); requests <= operations {
			return fmt.Errorf("readall with a warm-up counts %d operations, the node %d", operations, requests)
		}
		return nil
	})
	fails(t, node, "", 5, "writing batch 1: ", "bench seed", size...)
	fails(t, node, "", 4, "reading the data of seed: ", "bench readall", "--aggregates", "51", "--warmup", "0")
	fails(t, node, "", 1, "20 batches, expected 21", "bench readall", "--aggregates", "50", "--batches", "21", "--warmup", "0")
	fails(t, node, "", 1, "3 events, expected 4", "bench readall", "--aggregates", "50", "--events", "4", "--warmup", "0")
	fill(t, node, 2)
	ok(t, node, "", "trim", "--org", "1", "--type", "1", "--aggregate", "3", "--keep-from", "5")
	fails(t, node, "", 4, "version unavailable", "bench readall", "--aggregates", "50", "--warmup", "0")
}

func TestBenchWrite(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	aggregates := 0
	once := func(seconds float64) error {
		before := node.Stats()
		args := []string{"--writers", "6", "--connections", "3", "--events", "2", "--bytes", "10"}
		r := report(t, node, "write", with(args, lasting(seconds/4, seconds)...)...)
		if r.Writers != 6 || r.Connections != 3 || r.Events != 2*r.Operations || r.PayloadBytes != 20*r.Operations || r.Seconds < seconds {
			t.Errorf("write %+v", r)
		}
		after, known := node.Stats(), aggregates
		if accepted := after.Accepted - before.Accepted; accepted != 3 {
			t.Errorf("%d connections, want 3", accepted)
		}
		aggregates = strings.Count(ok(t, node, "", "list aggregates", "--org", "1", "--type", "2"), "\n")
		if aggregates > known+6 {
			t.Errorf("%d aggregates of 6 writers", aggregates-known)
		}
		writes := after.Requests[msg.TypeWriteRequest] - before.Requests[msg.TypeWriteRequest]
		if r.Operations == 0 || r.Operations >= writes || aggregates != known+6 {
			return fmt.Errorf("%d operations are counted of %d writes, which include the warm-up, to %d aggregates", r.Operations, writes, aggregates-known)
		}
		makesSense(t, r)
		return nil
	}
	eventually(t, once)
	eventually(t, once) // aggregates of its own, again
}

func TestBenchLive(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	for _, rate := range []string{"50", "0"} {
		eventually(t, func(seconds float64) error {
			before := node.Stats().Requests[msg.TypeWriteRequest]
			r := report(t, node, "live", with(lasting(seconds/2, seconds), "--rate", rate)...)
			writes := node.Stats().Requests[msg.TypeWriteRequest] - before
			if r.Operations < 5 || r.Operations >= writes {
				return fmt.Errorf("%d operations are counted of %d writes, which include the warm-up", r.Operations, writes)
			}
			makesSense(t, r)
			if a := r.AckToRead; a == nil || a.P50 > a.P99 || a.P99 > a.Max || a.Max > r.Latency.Max {
				t.Errorf("live %+v", r)
			}
			// Late writes are made up for, so that all writes together keep to it.
			if most := 50*1.5*seconds + 1; rate == "50" && float64(writes) > most {
				t.Errorf("%d writes at a rate of 50 for %v s", writes, 1.5*seconds)
			}
			return nil
		})
		text := ok(t, node, "", "bench live", "--rate", rate, "--warmup", "0", "--seconds", "0.1")
		for _, want := range []string{"bench live at " + node.Addr(), "operations/s (writes that were read)", "ack to read p50 ", "p99 "} {
			if !strings.Contains(text, want) {
				t.Errorf("the report lacks %q: %s", want, text)
			}
		}
	}
}

func TestBenchEndsAtTheFirstFailure(t *testing.T) {
	t.Parallel() // it waits more than it works
	node := celerianttest.Run(t, celerianttest.Options{})
	cutAnswers(node, msg.TypeWriteRequest)
	began := time.Now()
	for _, name := range []string{"bench write", "bench live", "bench seed"} {
		if r := fails(t, node, "", 3, "outcome unknown", name); r.stdout != "" {
			t.Errorf("%s prints figures of a failed run: %s", name, r.stdout)
		}
	}
	if took := time.Since(began); took > 27*time.Second {
		t.Errorf("three failures took %v", took)
	}
}

func TestBenchMisused(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	for _, c := range [][]string{
		{"seed", "--aggregates", "0"}, {"seed", "--batches", "0"}, {"seed", "--events", "0"}, {"seed", "--bytes", "-1"},
		{"seed", "--connections", "0"}, {"readall", "--aggregates", "-1"}, {"readall", "--warmup", "-1s"},
		{"write", "--writers", "0"}, {"write", "--seconds", "0"}, {"write", "--seconds", "-1"}, {"live", "--rate", "-1"}, {"live", "--rate", "NaN"},
	} {
		fails(t, node, "", 2, c[1]+" is ", "bench "+c[0], c[1:]...)
	}
}

// The node's answers to reads are checked before it is counted.
func TestBenchReadAllChecksPages(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	pages := func(answers map[uint64]*msg.ReadResponse) {
		node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
			if read, is := f.Request.(*msg.ReadRequest); is {
				answer := *answers[read.Filters.From]
				return celerianttest.Answer(&answer)
			}
			return celerianttest.Pass()
		})
	}
	batches := func(versions ...uint64) (all []msg.Batch) {
		for _, v := range versions {
			all = append(all, msg.Batch{Version: v, Events: []msg.Event{{Major: 1}}})
		}
		return all
	}
	args := []string{"--aggregates", "1", "--connections", "1", "--warmup", "0"}
	pages(map[uint64]*msg.ReadResponse{1: {Batches: batches(1, 3)}})
	fails(t, node, "", 1, "version 3 where 2 was expected", "bench readall", args...)
	pages(map[uint64]*msg.ReadResponse{1: {Batches: batches(1), NextVersion: msg.Some[uint64](1)}})
	fails(t, node, "", 1, "next version 1 after a page from 1", "bench readall", args...)
	pages(map[uint64]*msg.ReadResponse{1: {Batches: batches(1, 2), NextVersion: msg.Some[uint64](2)}, 2: {Batches: batches(2)}})
	if r := figures(t, node, "readall", args...); r.Batches != 2 || r.Operations != 2 {
		t.Errorf("a batch at the next version counts: %+v", r)
	}
}
