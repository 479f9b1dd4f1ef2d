package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

func remove(t *testing.T, p *pool.Pool, key msg.Key, proceed bool) {
	t.Helper()
	err := p.Delete(t.Context(), &msg.DeleteRequest{ClientID: writer, Deletes: []msg.AggregateDelete{{
		Key: key, AllowRecreate: true, AllowSequenceContinuation: proceed,
	}}})
	if err != nil {
		t.Fatal(err)
	}
}

func trimTo(t *testing.T, p *pool.Pool, key msg.Key, from uint64) {
	t.Helper()
	if err := p.TrimStart(t.Context(), &msg.TrimStartRequest{Key: key, KeepFrom: from, ClientID: writer}); err != nil {
		t.Fatal(err)
	}
}

// Every field of what was written, before and after the watch began, is in the
// lines.
func TestWatchPrintsWhatWasWritten(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	client := connect(t, node.Addr())
	put := func(n int) {
		events := []msg.Event{
			{ClientSeq: uint64(3 * n), Timestamp: uint64(n), Major: 1, Minor: 2, Value: []byte{0xff, 0, byte(n)}, EventID: msg.Some(msg.IDFromUint64(uint64(n)))},
			{ClientSeq: 1<<63 + uint64(n), Major: 9, Value: []byte{}, IV: msg.Some(msg.IV{1, byte(n)})},
		}
		options := pool.WriteOptions{}
		if n%2 == 0 {
			options.UserID = msg.Some(msg.IDFromUint64(uint64(n)))
		}
		if _, err := client.WriteEvents(t.Context(), aggregate(uint64(n%5)), events[:1+n%2], writer, options); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 40 {
		put(n)
	}
	w := startWatch(t, "--address", node.Addr(), "--protocol", "3")
	got := make(map[msg.Key][]msg.Batch)
	listen := func(n int) {
		for range n {
			c := w.next()
			if c.Kind != "batch" {
				t.Fatalf("heard %v", &c)
			}
			got[c.key()] = append(got[c.key()], c.batch())
		}
	}
	listen(40)
	w.expect("caught up")
	for n := range 40 {
		put(n)
	}
	listen(40)
	w.ends(os.Interrupt)
	for n := range uint64(5) {
		var want []msg.Batch
		for batch, err := range client.ReadAll(t.Context(), aggregate(n), msg.ReadFilters{}) {
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, batch.Clone())
		}
		if len(want) != 16 || !reflect.DeepEqual(got[aggregate(n)], want) {
			t.Errorf("aggregate %d: watched %+v, stored %+v", n, got[aggregate(n)], want)
		}
	}
}

// The next watch tells what happened to aggregates while nobody watched.
func TestWatchPrintsEveryKind(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	// A batch that cannot be read is refused rather than not answered: however short the
	// patience with an answer is, one that comes may come later.
	node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
		r, is := f.Request.(*msg.ReadRequest)
		if is && f.Direction == celerianttest.ToNode && r.Key == aggregate(4) && r.Filters.From <= 1 && r.Filters.To.Or(1) >= 1 {
			return celerianttest.Answer(&msg.ErrorResponse{Code: msg.CodeReadDataBlocks, Message: `{"detail":"short read"}`})
		}
		return celerianttest.Pass()
	})
	client := connect(t, node.Addr())
	args := []string{"--address", node.Addr(), "--checkpoint", "file:" + t.TempDir()}
	for n := range uint64(4) {
		write(t, client, aggregate(n), "a")
		write(t, client, aggregate(n), "b")
	}
	w := startWatch(t, args...)
	w.expect("0.1 a", "0.2 b", "1.1 a", "1.2 b", "2.1 a", "2.2 b", "3.1 a", "3.2 b", "caught up")
	remove(t, client, aggregate(0), true)
	w.expect("deleted 0")
	w.ends(syscall.SIGTERM)

	remove(t, client, aggregate(1), false)
	write(t, client, aggregate(1), "new")
	write(t, client, aggregate(2), "c")
	write(t, client, aggregate(2), "d")
	trimTo(t, client, aggregate(2), 4)
	remove(t, client, aggregate(3), false)
	write(t, client, aggregate(0), "back")
	write(t, client, aggregate(4), "x")
	w = startWatch(t, args...)
	w.expect("reset 1", "1.1 new", "reset 2", "truncated 2 1-3", "2.4 d", "deleted 3", "0.1 a", "0.2 b", "0.3 back", "unreadable 4.1", "caught up")
	w.ends(os.Interrupt)
}

// A watch continues behind the last line of the one before, under each name
// for itself, whatever store the positions are in.
func TestWatchResumes(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	client := connect(t, node.Addr())
	for _, place := range []string{"file:" + t.TempDir(), "sqlite:" + t.TempDir() + "/odd name?%.db"} {
		remembered := []string{"--address", node.Addr(), "--checkpoint", place}
		var all []string
		for version := 1; version <= 3; version++ {
			write(t, client, aggregate(1), "x")
			all = append(all, fmt.Sprintf("1.%d x", version))
			w := startWatch(t, remembered...)
			w.expect(all[version-1], "caught up")
			w.ends(os.Interrupt)
		}
		for _, name := range []string{"one", "other"} {
			w := startWatch(t, append(remembered, "--name", name)...)
			w.expect(append(slices.Clone(all), "caught up")...)
			w.ends(os.Interrupt)
		}
		w := startWatch(t, append(remembered, "--name", "one")...)
		w.expect("caught up")
		w.ends(os.Interrupt)
		startWatch(t, append(remembered, "--name", "one", "--org", "1")...).failsWith(5, "has scope")
		w = startWatch(t, append(remembered, "--name", "one", "--org", "1", "--adopt-scope")...)
		w.expect("caught up")
		w.ends(os.Interrupt)
		remove(t, client, aggregate(1), false)
		w = startWatch(t, append(remembered, "--name", "one", "--org", "1")...)
		w.expect("deleted 1", "caught up")
		w.ends(os.Interrupt)
		node.Close()
		node = celerianttest.Run(t, celerianttest.Options{})
		client = connect(t, node.Addr())
	}
}

// Types of several organisations are one watch with one position.
func TestWatchOfTypesOfSeveralOrganisations(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	client := connect(t, node.Addr())
	id := msg.IDFromUint64
	put := func(round string) {
		for org := range uint64(4) {
			for kind := range uint64(3) {
				write(t, client, msg.Key{Org: id(org), Type: id(kind), Aggregate: id(10*org + kind)}, round)
			}
		}
	}
	put("a")
	args := []string{"--address", node.Addr(), "--type", "1/2,3/2,3/1", "--checkpoint", "sqlite:" + t.TempDir() + "/db", "--name", "mine"}
	w := startWatch(t, args...)
	w.expect("12.1 a", "31.1 a", "32.1 a", "caught up")
	w.ends(os.Interrupt)
	args[3] = "3/1,3/2,1/2" // in another order
	w = startWatch(t, args...)
	w.expect("caught up")
	put("b")
	w.expect("12.2 b", "31.2 b", "32.2 b")
	w.ends(os.Interrupt)
}

// From now, what was there is left out, by this watch and by the next one.
func TestWatchFromNow(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	client := connect(t, node.Addr())
	for n := range uint64(5) {
		write(t, client, aggregate(n), "old")
	}
	args := []string{"--address", node.Addr(), "--from", "now"}
	w := startWatch(t, args...)
	w.expect("caught up")
	write(t, client, aggregate(1), "new")
	w.expect("1.2 new")
	w.ends(os.Interrupt)

	args = append(args, "--checkpoint", "file:"+t.TempDir())
	w = startWatch(t, args...)
	w.expect("caught up")
	w.ends(os.Interrupt)
	write(t, client, aggregate(2), "meanwhile")
	write(t, client, aggregate(9), "created meanwhile")
	w = startWatch(t, args...)
	w.expect("2.2 meanwhile", "9.1 created meanwhile", "caught up")
	write(t, client, aggregate(0), "new")
	w.expect("0.2 new")
	w.ends(os.Interrupt)
}

// A follower is watched and read; when it dies, the leader is, and nothing
// comes twice.
func TestWatchAtAFollower(t *testing.T) {
	pair := runPair(t, celerianttest.PairOptions{})
	client := connect(t, pair.A().Addr())
	write(t, client, aggregate(1), "a")
	awaitFollower(t, pair)
	w := startWatch(t, append(seeds(pair), "--follower")...)
	w.expect("1.1 a", "caught up")
	write(t, client, aggregate(1), "b")
	w.expect("1.2 b")
	if watched := pair.B().Stats().Requests[msg.TypeWatchRequest]; watched == 0 {
		t.Error("the follower was not watched")
	}
	if err := pair.Kill(pair.B()); err != nil {
		t.Fatal(err)
	}
	write(t, client, aggregate(1), "c")
	w.expect("1.3 c", "caught up")
	w.ends(os.Interrupt)
}

// Only one watch has a position: the one that came last, or, where the store
// is for one, the one that came first.
func TestWatchesDoNotShareAPosition(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	client := connect(t, node.Addr())
	database := []string{"--address", node.Addr(), "--checkpoint", "sqlite:" + t.TempDir() + "/db"}
	write(t, client, aggregate(1), "a")
	first := startWatch(t, database...)
	first.expect("1.1 a", "caught up")
	second := startWatch(t, database...)
	second.expect("caught up")
	write(t, client, aggregate(1), "b")
	first.failsWith(5, "superseded")
	second.expect("1.2 b")
	second.ends(os.Interrupt)

	folder := []string{"--address", node.Addr(), "--checkpoint", "file:" + t.TempDir()}
	first = startWatch(t, folder...)
	first.expect("1.1 a", "1.2 b", "caught up")
	startWatch(t, append(folder, "--name", "other")...).failsWith(5, "open elsewhere")
	first.ends(os.Interrupt)
}

// reported is a line of watch --json on standard error.
type reported struct {
	Report    string   `json:"report"`
	State     string   `json:"state"`
	Since     int64    `json:"since"`
	Shard     *uint64  `json:"shard"`
	Cause     string   `json:"cause"`
	Changes   uint64   `json:"changes"`
	Events    uint64   `json:"events"`
	PerSecond *float64 `json:"per_second"`
	Waiting   int      `json:"waiting"`
	Buffered  int64    `json:"buffered"`
	LagMS     *int64   `json:"lag_ms"`
	Follower  int64    `json:"follower_lag_ms"`
}

func reports(t *testing.T, w *watching) []reported {
	t.Helper()
	var all []reported
	for line := range strings.Lines(w.stderr.String()) {
		var r reported
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all = append(all, r)
	}
	return all
}

func TestWatchTellsStatesAndProgress(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	write(t, connect(t, node.Addr()), aggregate(1), "a")
	w := startWatch(t, "--address", node.Addr(), "--progress")
	w.expect("1.1 a", "caught up")
	node.CutConnections()
	write(t, connect(t, node.Addr()), aggregate(1), "b")
	w.expect("1.2 b", "caught up")
	for !strings.Contains(w.stderr.String(), `"progress"`) {
		time.Sleep(20 * time.Millisecond)
	}
	w.ends(os.Interrupt)
	all := reports(t, w)
	var states []string
	for _, r := range all {
		if r.Report == "progress" {
			// Before the first state there is none to tell, before the first batch no lag.
			if r.PerSecond == nil || (r.State == "" || r.Since == 0) && len(states) > 0 || r.LagMS == nil && r.Changes > 1 || r.LagMS != nil && *r.LagMS < 0 {
				t.Errorf("progress %+v", r)
			}
			continue
		}
		if n := len(states); n == 0 || states[n-1] != r.State {
			states = append(states, r.State)
		}
		if r.State == "reconnecting" && (r.Shard == nil || *r.Shard != 0 || r.Cause == "") {
			t.Errorf("state %+v", r)
		}
	}
	if got := strings.Join(states, " "); got != "connecting catching_up live reconnecting catching_up live closed" {
		t.Errorf("states %s", got)
	}
	if last := all[len(all)-1]; last.State != "closed" || last.Changes != 4 || last.Events != 2 || last.Waiting != 0 || last.LagMS == nil {
		t.Errorf("at the end %+v", last)
	}
}

func TestWatchPrintsTextForPeople(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	ok(t, node, twoEvents, "write", with(key7, "--client-id", "7", "--batch", "5")...)
	key := aggregate(7).String()
	for _, c := range []struct {
		flags []string
		want  string
	}{
		{nil, "batch 1 of " + key + " (2 events)\n" +
			"    1\t1\t1.0\t" + client7 + "\t1\tbase64:b25l\n    1\t2\t3.4\t" + client7 + "\t20\t{\"n\": 2}\ncaught up\n"},
		{[]string{"--brief"}, "batch 1 of " + key + " (2 events)\ncaught up\n"},
	} {
		w := startWatch(t, append(with(key7, "--json=false", "--address", node.Addr()), c.flags...)...)
		var text strings.Builder
		for !strings.HasSuffix(text.String(), "caught up\n") {
			select {
			case line := <-w.lines:
				text.WriteString(line + "\n")
			case <-time.After(30 * time.Second):
				t.Fatalf("only %q (%s)", text.String(), w.stderr)
			}
		}
		w.ends(os.Interrupt)
		if text.String() != c.want {
			t.Errorf("%v: printed %q, want %q", c.flags, text.String(), c.want)
		}
		if told := w.stderr.String(); !strings.Contains(told, "celeriant watch: live; ") || !strings.Contains(told, "celeriant watch: closed; 2 changes, 0 aggregates waiting, lag ") {
			t.Errorf("told %q", told)
		}
	}
}

// A node that is not there yet is waited for, and so is one that goes away.
func TestWatchWaitsForTheNode(t *testing.T) {
	w := startWatch(t, "--address", "127.0.0.1:1")
	for !strings.Contains(w.stderr.String(), "connection refused") {
		time.Sleep(20 * time.Millisecond)
	}
	w.ends(hangup())
}

func TestWatchRefuses(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{RequireIdentity: true})
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"--type 1", 2, "lacks the organisation"},
		{"--name x", 2, "--name needs --checkpoint"},
		{"--adopt-scope", 2, "--adopt-scope needs --checkpoint"},
		{"--checkpoint there", 2, "want file:FOLDER, sqlite:FILE"},
		{"--checkpoint floppy:there", 2, "want file:FOLDER, sqlite:FILE"},
		{"--checkpoint file:", 2, "want file:FOLDER, sqlite:FILE"},
		{"--checkpoint file:/nowhere/at/all", 1, "/nowhere/at/all"},
		{"--checkpoint sqlite:/nowhere/at/all", 1, "/nowhere/at/all"},
		{"--checkpoint sqlite:x --name " + strings.Repeat("x", 300), 2, "300 bytes"},
		{"--latency -1s", 2, "--latency is -1s"},
		{"--from 7", 2, "want beginning or now"},
		{"--follower", 2, "--follower needs --seed"},
		{"--no-compression", 1, "identity required"},
		{"--latency 3s --api-key-file " + file(t, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), 1, "latency"},
		{"extra", 2, `no arguments are taken, but there is "extra"`},
	} {
		startWatch(t, append(strings.Fields(c.args), "--address", node.Addr())...).failsWith(c.status, c.want)
	}
}

// Everything goes on, once, when the leader is killed, and again when that one is.
func TestWatchGoesOnWhenTheLeaderIsKilled(t *testing.T) {
	pair := runPair(t, celerianttest.PairOptions{Options: celerianttest.Options{Shards: 2}})
	awaitFollower(t, pair)
	w := startWatch(t, append(seeds(pair), "--checkpoint", "file:"+t.TempDir())...)
	w.expect("caught up")
	const aggregates, rounds = 4, 25
	next := make([]uint64, aggregates)
	for stage := range 3 {
		awaitFollower(t, pair)
		written := make(chan error, 1)
		go func() { written <- writeRounds(t.Context(), pair, aggregates, stage*rounds, rounds) }()
		for n := 0; n < aggregates*rounds; {
			c := w.next()
			if c.Kind == "caught_up" {
				continue
			}
			a := c.Aggregate[15]
			if next[a]++; c.Kind != "batch" || c.Version != next[a] || string(c.Events[0].Value) != fmt.Sprint(c.Version) {
				t.Fatalf("after version %d of %d: %v", next[a]-1, a, &c)
			}
			if n++; n == 10 {
				killLeader(t, pair)
			}
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
	status, rest := w.stop(os.Interrupt)
	if rest = slices.DeleteFunc(rest, func(line string) bool { return line == `{"kind":"caught_up"}` }); status != 0 || len(rest) > 0 {
		t.Errorf("status %d, %q", status, rest)
	}
	if !strings.Contains(w.stderr.String(), `"reconnecting"`) {
		t.Errorf("nothing was lost: %s", w.stderr)
	}
}

// killLeader kills the leader, and starts it again once the other node leads.
func killLeader(t *testing.T, pair *celerianttest.Pair) {
	t.Helper()
	leader := pair.Leader()
	if err := pair.Kill(leader); err != nil {
		t.Fatal(err)
	}
	if _, err := pair.AwaitLeader(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := pair.Restart(leader); err != nil {
		t.Fatal(err)
	}
}

// writeRounds writes the numbers behind from to each of the aggregates, each once.
func writeRounds(ctx context.Context, pair *celerianttest.Pair, aggregates, from, rounds int) error {
	client, err := pool.New(pool.Options{Address: pair.A().Addr(), SeedAddresses: []string{pair.B().Addr()}, RequestTimeout: patience})
	if err != nil {
		return err
	}
	defer client.Close(context.Background())
	for version := from + 1; version <= from+rounds; version++ {
		for a := range aggregates {
			// An expected version makes it safe to send again; a conflict is then the
			// echo of its own success.
			_, err := client.WriteEvents(ctx, aggregate(uint64(a)), []msg.Event{{ClientSeq: uint64(version), Major: 1, Value: fmt.Append(nil, version)}},
				writer, pool.WriteOptions{ExpectedVersion: msg.Some(uint64(version - 1))})
			if err != nil && !msg.Ambiguous(err) {
				return err
			}
		}
	}
	return nil
}
