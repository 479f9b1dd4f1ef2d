package shard_test

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// TestAgainstModel compares a shard without quirks with the model through
// random mutations, commits, truncations, restarts and rebuilding from the
// stored log, every answer in full.
func TestAgainstModel(t *testing.T) {
	times := 10 // rapid's hundred runs are few for so many rules
	if testing.Short() {
		times = 2
	}
	for range times {
		rapid.Check(t, checkAgainstModel)
	}
}

func checkAgainstModel(t *rapid.T) {
	p := &pair{t: t, options: shard.Options{MaxResponseSize: 1200, MaxSchemaSize: 10}}
	p.shard = shard.New(p.options)
	t.Repeat(map[string]func(*rapid.T){
		"write":    p.write,
		"write 2":  p.write, // twice as likely
		"trim":     p.trim,
		"delete":   p.delete,
		"commit":   p.commit,
		"truncate": p.truncate,
		"restart":  func(*rapid.T) { p.shard.Restart() },
		"rebuild":  p.rebuild,
		"read":     p.read,
		"":         p.compare,
	})
}

type pair struct {
	t       *rapid.T
	options shard.Options
	shard   *shard.Shard
	model   model
	clock   uint64
}

// aggregate, sequence and so on draw from few values, so that they meet.
func aggregate(t *rapid.T) msg.Key { return key(rapid.Uint64Range(1, 3).Draw(t, "aggregate")) }

func small(t *rapid.T, name string) uint64 { return rapid.Uint64Range(0, 6).Draw(t, name) }

func maybe[T any](t *rapid.T, name string, draw func(*rapid.T, string) T) msg.Opt[T] {
	if rapid.IntRange(0, 2).Draw(t, name+" set") > 0 {
		return msg.None[T]()
	}
	return msg.Some(draw(t, name))
}

func someone(t *rapid.T, name string) msg.ID { return id(rapid.Uint64Range(0, 2).Draw(t, name)) }

func (p *pair) requester(t *rapid.T) (msg.ID, msg.Opt[msg.ID]) {
	p.clock += rapid.Uint64Range(0, 2).Draw(t, "ticks")
	return someone(t, "client"), maybe(t, "user", someone)
}

func drawEvents(t *rapid.T) []msg.Event {
	list := make([]msg.Event, rapid.SampledFrom([]int{1, 1, 1, 2, 3, 0}).Draw(t, "events"))
	for i := range list {
		list[i] = msg.Event{
			ClientSeq: small(t, "client sequence"), Timestamp: small(t, "timestamp"),
			Major: rapid.SampledFrom([]uint64{1, 1, 2, 2, 3, 3, 4, 0}).Draw(t, "type"),
			Value: make([]byte, rapid.IntRange(0, 90).Draw(t, "size")),
		}
	}
	return list
}

// distinct draws one to three aggregates.
func distinct(t *rapid.T) []msg.Key {
	return rapid.SliceOfNDistinct(rapid.Custom(aggregate), 1, 3, rapid.ID[msg.Key]).Draw(t, "aggregates")
}

func (p *pair) same(what, got, want string) {
	p.t.Helper()
	if got != want {
		p.t.Fatalf("%s: got %s, want %s", what, got, want)
	}
}

func refused(no *shard.Refusal) string {
	if no == nil {
		return ""
	}
	return onWire(no)
}

func (p *pair) write(t *rapid.T) {
	req := &msg.WriteRequest{}
	req.ClientID, req.UserID = p.requester(t)
	for _, k := range distinct(t) {
		req.Writes = append(req.Writes, msg.AggregateWrite{
			Key: k, Events: drawEvents(t),
			DenyCreate:         rapid.IntRange(0, 4).Draw(t, "create") == 0,
			ExpectedVersion:    maybe(t, "expected", small),
			EnforceIdempotency: rapid.Bool().Draw(t, "enforce"),
		})
	}
	version, want := p.model.write(req, p.clock)
	resp, no := p.shard.Write(req, p.clock)
	p.same("write", refused(no), want)
	if no == nil && len(req.Writes) == 1 && resp.MaxVersion != msg.Some(version) {
		t.Fatalf("version %v, want %d", resp.MaxVersion, version)
	}
	p.autocommit(t)
}

func (p *pair) delete(t *rapid.T) {
	req := &msg.DeleteRequest{}
	req.ClientID, req.UserID = p.requester(t)
	for _, k := range distinct(t) {
		req.Deletes = append(req.Deletes, msg.AggregateDelete{
			Key: k, ExpectedVersion: maybe(t, "expected", small),
			AllowRecreate:             rapid.IntRange(0, 3).Draw(t, "recreate") > 0,
			AllowSequenceContinuation: rapid.Bool().Draw(t, "continue"),
		})
	}
	want := p.model.delete(req, p.clock)
	_, no := p.shard.Delete(req, p.clock)
	p.same("delete", refused(no), want)
	p.autocommit(t)
}

func (p *pair) trim(t *rapid.T) {
	req := &msg.TrimStartRequest{Key: aggregate(t), KeepFrom: small(t, "keep from")}
	req.ClientID, req.UserID = p.requester(t)
	want := p.model.trim(req, p.clock)
	_, no := p.shard.TrimStart(req, p.clock)
	p.same("trim", refused(no), want)
	p.autocommit(t)
}

func (p *pair) autocommit(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "commit at once") > 0 {
		p.commitTo(t, len(p.model.ops))
	}
}

func (p *pair) commit(t *rapid.T) {
	p.commitTo(t, rapid.IntRange(p.model.committed, len(p.model.ops)).Draw(t, "commit to"))
}

func (p *pair) commitTo(t *rapid.T, position int) {
	want := p.model.commit(position)
	got := p.shard.Commit(uint64(position))
	sortWithinClasses(got)
	sortWithinClasses(want)
	if !slices.Equal(got, want) {
		t.Fatalf("heard\n got %v\nwant %v", got, want)
	}
}

// sortWithinClasses orders each run of one operation by aggregate: that order
// means nothing, the order of the classes does.
func sortWithinClasses(list []msg.Notification) {
	for start := 0; start < len(list); {
		end := start + 1
		for end < len(list) && list[end].Operation == list[start].Operation {
			end++
		}
		slices.SortFunc(list[start:end], func(a, b msg.Notification) int { return a.Key.Compare(b.Key) })
		start = end
	}
}

func (p *pair) truncate(t *rapid.T) {
	position := rapid.IntRange(p.model.committed, len(p.model.ops)).Draw(t, "truncate to")
	p.model.ops = p.model.ops[:position:position]
	if err := p.shard.TruncateTo(uint64(position)); err != nil {
		t.Fatal(err)
	}
}

// rebuild stores the log, reads it back into a new shard and goes on there.
func (p *pair) rebuild(t *rapid.T) {
	var log []byte
	for _, r := range p.shard.Records(0, 0) {
		log = r.Append(log)
	}
	fresh := shard.New(p.options)
	if _, err := shard.ReadRecords(bytes.NewReader(log), fresh.Apply); err != nil {
		t.Fatal(err)
	}
	fresh.Commit(uint64(p.model.committed))
	p.shard = fresh
}

func drawFilters(t *rapid.T) msg.ReadFilters {
	return msg.ReadFilters{
		From: small(t, "from"), To: maybe(t, "to", small),
		EventTypes:      rapid.SliceOfN(rapid.Uint64Range(1, 4), 0, 2).Draw(t, "types"),
		ExcludeClientID: maybe(t, "exclude client", someone), IncludeClientID: maybe(t, "include client", someone),
		ExcludeUserID: maybe(t, "exclude user", someone), IncludeUserID: maybe(t, "include user", someone),
		MinServerTimestamp: maybe(t, "min time", small), MaxServerTimestamp: maybe(t, "max time", small),
		MinClientSeq: maybe(t, "min seq", small), MaxClientSeq: maybe(t, "max seq", small),
		MinEventTimestamp: maybe(t, "min stamp", small), MaxEventTimestamp: maybe(t, "max stamp", small),
		MinEventSeq: maybe(t, "min position", small), MaxEventSeq: maybe(t, "max position", small),
	}
}

func (p *pair) read(t *rapid.T) { p.readAll(aggregate(t), drawFilters(t)) }

// readAll follows the pages of a read to the end.
func (p *pair) readAll(key msg.Key, f msg.ReadFilters) {
	want, refusal := p.model.read(key, f)
	var got []msg.Batch
	for {
		resp, answered, no := p.shard.Read(&msg.ReadRequest{Key: key, Filters: f})
		if no != nil || !answered {
			p.same("read", refused(no), refusal)
			return
		}
		p.same("read", "", refusal)
		if _, err := wire.AppendResponse(nil, wire.V2, resp, nil, uint32(p.options.MaxResponseSize)); err != nil {
			p.t.Fatal(err)
		}
		got = append(got, resp.Batches...)
		next, more := resp.NextVersion.Get()
		if !more {
			break
		}
		if next <= f.From {
			p.t.Fatalf("next version %d of a read from %d", next, f.From)
		}
		f.From = next
	}
	if !slices.EqualFunc(got, want, func(a, b msg.Batch) bool { return reflect.DeepEqual(a, b) }) {
		p.t.Fatalf("read of %v with %+v\n got %+v\nwant %+v", key, f, got, want)
	}
}

// compare asks everything that can be asked without filters.
func (p *pair) compare(t *rapid.T) {
	if int(p.shard.Tail()) != len(p.model.ops) || int(p.shard.Committed()) != p.model.committed {
		t.Fatalf("tail %d, committed %d, want %d, %d", p.shard.Tail(), p.shard.Committed(), len(p.model.ops), p.model.committed)
	}
	for n := range uint64(4) {
		want, refusal := p.model.details(key(n))
		got, no := p.shard.Details(&msg.DetailsRequest{Key: key(n)})
		p.same("details", refused(no), refusal)
		if no == nil && *got != want {
			t.Fatalf("details of %d\n got %+v\nwant %+v", n, *got, want)
		}
		p.readAll(key(n), msg.ReadFilters{From: max(want.MinVersion, 1)})
	}
	list, _ := p.shard.ListAggregates(&msg.ListAggregatesRequest{})
	got := map[msg.Key]msg.AggregateItem{}
	for _, it := range list.Aggregates {
		got[it.Key] = it
	}
	if want := p.model.list(); !reflect.DeepEqual(got, want) || len(list.Aggregates) != len(want) {
		t.Fatalf("list\n got %+v\nwant %+v", got, want)
	}
}
