package main_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

// runPair starts a pair that fails over quickly and shows everything at once.
func runPair(t *testing.T, o celerianttest.PairOptions) *celerianttest.Pair {
	t.Helper()
	o.Lag, o.Takeover, o.Rejoin = -1, 200*time.Millisecond, 100*time.Millisecond
	return celerianttest.RunPair(t, o)
}

// killAt kills node A at the n-th frame that matches, and lets happen to that
// frame what fate says. The answer tells whether it came to that.
func killAt(t *testing.T, pair *celerianttest.Pair, n int, matches func(*celerianttest.Frame) bool, fate func(*celerianttest.Frame) celerianttest.Verdict) func() bool {
	t.Helper()
	var mu sync.Mutex
	killed := make(chan error, 1)
	seen := 0
	pair.A().Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
		mu.Lock()
		defer mu.Unlock()
		if !matches(f) {
			return celerianttest.Pass()
		}
		if seen++; seen < n {
			return celerianttest.Pass()
		}
		if seen == n {
			// Kill waits for interceptors.
			go func() { killed <- pair.Kill(pair.A()) }()
		}
		return fate(f)
	})
	return func() bool {
		mu.Lock()
		came := seen >= n
		mu.Unlock()
		if !came {
			return false
		}
		// Without the lock: Kill waits for interceptors that wait for it.
		if err := <-killed; err != nil {
			t.Error(err)
		}
		return true
	}
}

func requests(kinds ...msg.RequestType) func(*celerianttest.Frame) bool {
	return func(f *celerianttest.Frame) bool {
		return f.Direction == celerianttest.ToNode && slices.Contains(kinds, f.Request.RequestType())
	}
}

func unanswered(*celerianttest.Frame) celerianttest.Verdict { return celerianttest.CutBefore() }
func unheard(f *celerianttest.Frame) celerianttest.Verdict  { return celerianttest.CutAfter(f.Size) }

func awaitFollower(t *testing.T, pair *celerianttest.Pair) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := pair.AwaitSettled(ctx); err != nil {
		t.Fatal(err)
	}
}

// seeds are the flags that name both nodes.
func seeds(pair *celerianttest.Pair) []string {
	return []string{"--seed", pair.A().Addr() + "," + pair.B().Addr()}
}

func TestReadGoesOnWhenTheLeaderIsKilled(t *testing.T) {
	// Small pages, so that there are several.
	pair := runPair(t, celerianttest.PairOptions{Options: celerianttest.Options{MaxResponseSize: 4 << 10}})
	client := connect(t, pair.A().Addr())
	var want []string
	for n := range 40 {
		write(t, client, aggregate(7), strings.Repeat("x", 500))
		want = append(want, fmt.Sprint(n+1))
	}
	awaitFollower(t, pair)
	killed := killAt(t, pair, 2, requests(msg.TypeReadRequest), unanswered)
	r := command(t, append(with(key7, seeds(pair)...), "read")...)
	var got []string
	for line := range strings.Lines(r.stdout) {
		version, _, _ := strings.Cut(line, "\t")
		got = append(got, version)
	}
	if r.status != 0 || !slices.Equal(got, want) || !killed() {
		t.Errorf("status %d, %q, versions %v", r.status, r.stderr, got)
	}
}

// With an expected version writes go on at the next leader: each event is stored once, in
// the order of the lines, also those that the old leader has stored and not acknowledged.
// A client sequence alone does not hold across a change of leaders: the command says that
// the outcome is unknown, and has sent nothing twice.
func TestWriteGoesOnWhenTheLeaderIsKilled(t *testing.T) {
	for name, fate := range map[string]func(*celerianttest.Frame) celerianttest.Verdict{"unanswered": unanswered, "unheard": unheard} {
		for _, guard := range [][]string{nil, {"--expected-version", "0"}} {
			t.Run(fmt.Sprint(name, guard), func(t *testing.T) {
				pair := runPair(t, celerianttest.PairOptions{})
				awaitFollower(t, pair)
				var lines strings.Builder
				var want []string
				for n := range 20 {
					fmt.Fprintf(&lines, "{\"text\":\"%d\"}\n", n)
					want = append(want, fmt.Sprintf("%d:%d", n+1, n))
				}
				writes := func(f *celerianttest.Frame) bool {
					r, ok := f.Request.(*msg.WriteRequest)
					return ok && len(r.Writes[0].Events) > 0 // not the question who leads
				}
				killed := killAt(t, pair, 8, writes, fate)
				args := with(key7, "--client-id", "7", "--idempotent")
				r := command(t, append(append([]string{"write"}, with(with(args, guard...), seeds(pair)...)...), file(t, lines.String()))...)
				stored := values(t, connect(t, pair.B().Addr()), aggregate(7))
				if guard == nil {
					before, with := strings.Join(want[:7], " "), strings.Join(want[:8], " ")
					if r.status != 3 || !strings.Contains(r.stderr, "outcome unknown") || stored != before && stored != with || !killed() {
						t.Errorf("status %d, %q, stored %s", r.status, r.stderr, stored)
					}
					return
				}
				if r.status != 0 || !strings.HasPrefix(r.stdout, "wrote 20 events in 20 writes") || !killed() {
					t.Errorf("status %d, %q, %q", r.status, r.stdout, r.stderr)
				}
				if stored != strings.Join(want, " ") {
					t.Errorf("stored %s", stored)
				}
			})
		}
	}
}

// Without a guard nothing may be sent twice: the outcome is told to be unknown.
func TestUnguardedWriteIsNotRepeated(t *testing.T) {
	pair := runPair(t, celerianttest.PairOptions{})
	awaitFollower(t, pair)
	killed := killAt(t, pair, 1, requests(msg.TypeWriteRequest), unheard)
	r := command(t, append(with(key7, seeds(pair)...), "write", file(t, `{"text":"a"}`))...)
	if r.status != 3 || !strings.Contains(r.stderr, "outcome unknown") || !killed() {
		t.Errorf("status %d, %q", r.status, r.stderr)
	}
}

// A sequence that somebody else stored makes no success of a write that was lost.
func TestForeignSequencesAreNoSuccess(t *testing.T) {
	pair := runPair(t, celerianttest.PairOptions{})
	ok(t, pair.A(), `{"text":"other","client_seq":5}`, "write", with(key7, "--client-id", "7")...)
	awaitFollower(t, pair)
	killed := killAt(t, pair, 1, requests(msg.TypeWriteRequest), unanswered)
	r := command(t, append(with(key7, seeds(pair)...), "write", "--client-id", "7", "--idempotent", "--first-client-seq", "5", file(t, `{"text":"a"}`))...)
	if r.status != 3 || !strings.Contains(r.stderr, "outcome unknown") || !killed() {
		t.Errorf("status %d, %q", r.status, r.stderr)
	}
}

func TestListGoesOnWhenTheLeaderIsKilled(t *testing.T) {
	// Small segments, so that there are several pages.
	pair := runPair(t, celerianttest.PairOptions{Options: celerianttest.Options{Shards: 2, ListPageSize: 3, SegmentBytes: 8193}})
	client := connect(t, pair.A().Addr())
	for n := range 60 {
		write(t, client, msg.Key{Org: msg.IDFromUint64(uint64(n % 7)), Type: msg.IDFromUint64(uint64(n % 5)), Aggregate: msg.IDFromUint64(uint64(n))}, strings.Repeat("x", 600))
	}
	awaitFollower(t, pair)
	for kind, want := range map[string]int{"orgs": 7, "types": 35, "aggregates": 60} {
		pair.A().Intercept(nil)
		killed := killAt(t, pair, 3, requests(msg.TypeListOrgsRequest, msg.TypeListTypesRequest, msg.TypeListAggregatesRequest), unanswered)
		r := command(t, append([]string{"list", kind}, seeds(pair)...)...)
		got := strings.Split(strings.TrimSpace(r.stdout), "\n")
		slices.Sort(got)
		if r.status != 0 || len(got) != want || len(slices.Compact(got)) != want || !killed() {
			t.Errorf("%s: status %d, %q, %d lines, want %d", kind, r.status, r.stderr, len(got), want)
		}
		if err := pair.Restart(pair.A()); err != nil {
			t.Fatal(err)
		}
		awaitFollower(t, pair)
		if err := pair.FailOver(); err != nil {
			t.Fatal(err)
		}
		awaitFollower(t, pair)
	}
}

func TestDetailsAreFoundWhenTheLeaderIsKilled(t *testing.T) {
	pair := runPair(t, celerianttest.PairOptions{})
	write(t, connect(t, pair.A().Addr()), aggregate(7), "a")
	awaitFollower(t, pair)
	killed := killAt(t, pair, 1, requests(msg.TypeDetailsRequest), unanswered)
	r := command(t, append(with(key7, seeds(pair)...), "details", "--json")...)
	if r.status != 0 || lastLine(t, r.stdout)["max_version"] != 1.0 || !killed() {
		t.Errorf("status %d, %q, %q", r.status, r.stdout, r.stderr)
	}
}

// With seeds alone the default of --address is left out: what runs there is
// none of that cluster.
func TestSeedsReplaceTheDefaultAddress(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	fill(t, node, 1)
	for _, args := range [][]string{
		{"--seed", node.Addr()},
		{"--seed", "127.0.0.1:1", "--seed", node.Addr()},
		{"--address", node.Addr(), "--seed", "127.0.0.1:1"},
	} {
		r := command(t, append(with(key7, args...), "details", "--json")...)
		if r.status != 0 || strings.Contains(r.stderr, "10000") {
			t.Errorf("%v: status %d, %q", args, r.status, r.stderr)
		}
	}
	if r := command(t, append(with(key7, "--seed", "127.0.0.1:1"), "details")...); r.status != 1 || strings.Contains(r.stderr, "10000") {
		t.Errorf("nobody there: status %d, %q", r.status, r.stderr)
	}
	if r := command(t, append(with(key7, "--seed", "nowhere"), "details")...); r.status != 2 || !strings.Contains(r.stderr, `"nowhere"`) {
		t.Errorf("no address: status %d, %q", r.status, r.stderr)
	}
	r := command(t, "bench", "seed", "--aggregates", "1", "--batches", "1", "--seed", node.Addr(), "--json")
	if r.status != 0 || lastLine(t, r.stdout)["address"] != node.Addr() {
		t.Errorf("bench: status %d, %q, %q", r.status, r.stdout, r.stderr)
	}
}
