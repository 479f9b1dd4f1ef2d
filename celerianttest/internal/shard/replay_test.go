package shard_test

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/internal/traces"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// TestRecordings drives shards with quirks on through every recording of a
// single node, in both protocol versions, and wants every answer that is a
// shard's to give. Answers of the layers above (watches, routing, identity)
// belong to the node and are passed over, as are their requests.
func TestRecordings(t *testing.T) {
	for _, rec := range traces.All() {
		if rec.Server[0] != "--standalone" {
			continue
		}
		t.Run(rec.Name, func(t *testing.T) { newReplay(t, rec).run() })
	}
}

// aboveShards lists the recordings in which no answer is a shard's.
var aboveShards = []string{"malformed"}

type replay struct {
	t        *testing.T
	rec      traces.Recording
	shards   []*shard.Shard
	rule     msg.RoutingRule
	reserved bool
	queues   map[int][]traces.Step // requests without an answer yet, per connection
	clock    uint64
	times    map[string]uint64 // recorded time of a write, by its key and first client sequence
	compared int
}

func newReplay(t *testing.T, rec traces.Recording) *replay {
	r := &replay{t: t, rec: rec, queues: map[int][]traces.Step{}, times: map[string]uint64{}, clock: 1}
	o := shard.Options{Quirks: true, Validators: map[msg.SchemaType]shard.SchemaCompiler{
		msg.SchemaJSON: tinyJSONSchema{}, msg.SchemaAvro: refuseAll{},
	}}
	count := 1
	for i, flag := range rec.Server {
		value := ""
		if i+1 < len(rec.Server) {
			value = rec.Server[i+1]
		}
		n, _ := strconv.Atoi(value)
		switch flag {
		case "--num-shards":
			count = n
		case "--list-page-size":
			o.ListPageSize = n
		case "--max-response-size":
			o.MaxResponseSize = uint64(n)
		case "--shard-log-preallocate-bytes":
			o.SegmentBytes = uint64(n)
		case "--reserve-coordinator-shard":
			r.reserved = true
		case "--routing-rule":
			if value == "org_id" {
				r.rule = msg.RouteByOrg
			}
		}
	}
	for i := range count {
		o.Index = i
		r.shards = append(r.shards, shard.New(o))
	}
	return r
}

func (r *replay) run() {
	r.collectTimes()
	for _, step := range r.rec.Steps {
		switch step.Do {
		case traces.DoOpen, traces.DoEOF, traces.DoClose:
			r.queues[step.Conn] = nil
		case traces.DoSend:
			r.queues[step.Conn] = append(r.queues[step.Conn], step)
		case traces.DoRestart:
			for _, s := range r.shards {
				s.Restart()
			}
		case traces.DoRecv:
			if queue := r.queues[step.Conn]; step.Type != "Watch" && len(queue) > 0 {
				r.queues[step.Conn] = queue[1:]
				r.exchange(queue[0], step)
			}
		}
	}
	r.t.Logf("%d answers compared", r.compared)
	if r.compared == 0 && !slices.Contains(aboveShards, r.rec.Scenario) {
		r.t.Error("no answer was compared")
	}
}

// exchange executes one request and compares the answer.
func (r *replay) exchange(sent, received traces.Step) {
	if sent.Body == nil || sent.Compressed || received.Compressed || received.Hex == nil {
		return
	}
	want := r.response(received)
	if e, ok := want.(*msg.ErrorResponse); ok && e.Code >= msg.CodeWatchInvalid {
		return // refused before it reached a shard
	}
	req := r.request(sent)
	switch req.(type) {
	case *msg.IdentifyRequest, *msg.WatchRequest:
		return
	}
	got := r.execute(req)
	normalise(want)
	normalise(got)
	r.compared++
	if !reflect.DeepEqual(got, want) {
		r.t.Errorf("line %d, %s\n got %+v\nwant %+v", received.Line, sent.Type, got, want)
	}
}

func (r *replay) request(s traces.Step) msg.Request {
	h, body := r.split(s)
	req, err := wire.DecodeRequest(h.Version, msg.RequestType(h.Type), body)
	if err != nil {
		r.t.Fatalf("line %d: %v", s.Line, err)
	}
	return req
}

func (r *replay) response(s traces.Step) msg.Response {
	h, body := r.split(s)
	resp, err := wire.DecodeResponse(h.Version, msg.ResponseType(h.Type), body)
	if err != nil {
		r.t.Fatalf("line %d: %v", s.Line, err)
	}
	return resp
}

func (r *replay) split(s traces.Step) (wire.Header, []byte) {
	h, err := wire.ParseHeader(s.Hex)
	if err != nil {
		r.t.Fatalf("line %d: %v", s.Line, err)
	}
	return h, s.Hex[wire.HeaderSize:]
}

// collectTimes learns from the recorded reads when each write was made: the
// recording of server time quotes these times in its filters.
func (r *replay) collectTimes() {
	for i, s := range r.rec.Steps {
		if s.Do != traces.DoRecv || s.Type != "Read" || s.Compressed || r.rec.Scenario != "server-time" {
			continue
		}
		req := r.request(r.rec.Steps[i-1]).(*msg.ReadRequest)
		for _, b := range r.response(s).(*msg.ReadResponse).Batches {
			r.times[timeKey(req.Key, b.Events)] = b.ServerTimestamp
		}
	}
}

func timeKey(key msg.Key, events []msg.Event) string {
	if len(events) == 0 {
		return ""
	}
	return fmt.Sprint(key, events[0].ClientSeq)
}

func (r *replay) shardOf(key msg.Key) *shard.Shard {
	return r.shards[msg.ShardOf(r.rule.RoutingID(key), uint64(len(r.shards)), r.reserved)]
}

func (r *replay) execute(req msg.Request) msg.Response {
	r.clock++
	switch q := req.(type) {
	case *msg.WriteRequest:
		s, now := r.shardOf(q.Writes[0].Key), r.clock
		if recorded, known := r.times[timeKey(q.Writes[0].Key, q.Writes[0].Events)]; known {
			now = recorded
		}
		resp, no := s.Write(q, now)
		return committed(s, q, resp, no)
	case *msg.TrimStartRequest:
		s := r.shardOf(q.Key)
		resp, no := s.TrimStart(q, r.clock)
		return committed(s, q, resp, no)
	case *msg.DeleteRequest:
		s := r.shardOf(q.Deletes[0].Key)
		resp, no := s.Delete(q, r.clock)
		return committed(s, q, resp, no)
	case *msg.RegisterSchemaRequest:
		resp, no := r.shards[0].RegisterSchema(q, r.clock)
		return committed(r.shards[0], q, resp, no)
	case *msg.ReadRequest:
		resp, answered, no := r.shardOf(q.Key).Read(q)
		if !answered {
			return nil
		}
		return answer(q, resp, no)
	case *msg.DetailsRequest:
		resp, no := r.shardOf(q.Key).Details(q)
		return answer(q, resp, no)
	case *msg.ListOrgsRequest:
		resp, no := r.shards[q.Shard].ListOrgs(q)
		return answer(q, resp, no)
	case *msg.ListTypesRequest:
		resp, no := r.shards[q.Shard].ListTypes(q)
		return answer(q, resp, no)
	case *msg.ListAggregatesRequest:
		resp, no := r.shards[q.Shard].ListAggregates(q)
		return answer(q, resp, no)
	}
	r.t.Fatalf("unexpected request %T", req)
	return nil
}

func answer(req msg.Request, resp msg.Response, no *shard.Refusal) msg.Response {
	if no != nil {
		return no.Response(req.Correlation())
	}
	return resp
}

// committed does what a standalone node does after a mutation.
func committed(s *shard.Shard, req msg.Request, resp msg.Response, no *shard.Refusal) msg.Response {
	s.Commit(s.Tail())
	return answer(req, resp, no)
}

var libraryText = regexp.MustCompile(`"(parse|validation)_error":".*"`)

// normalise blanks what differs from run to run: times, the order of lists,
// the prose of schema libraries, and the forms of "none" in Go.
func normalise(r msg.Response) {
	switch m := r.(type) {
	case *msg.DetailsResponse:
		m.LastServerTimestamp = 0
	case *msg.ErrorResponse:
		m.Message = libraryText.ReplaceAllString(m.Message, `"${1}_error":"…"`)
	case *msg.ReadResponse:
		m.Batches = emptyIsNil(slices.Clone(m.Batches))
		for i := range m.Batches {
			m.Batches[i] = m.Batches[i].Clone()
			m.Batches[i].ServerTimestamp = 0
			for j := range m.Batches[i].Events {
				m.Batches[i].Events[j].Value = emptyIsNil(m.Batches[i].Events[j].Value)
			}
		}
	case *msg.ListOrgsResponse:
		m.Orgs = emptyIsNil(m.Orgs)
		slices.SortFunc(m.Orgs, msg.ID.Compare)
	case *msg.ListTypesResponse:
		m.Types = emptyIsNil(m.Types)
		slices.SortFunc(m.Types, func(a, b msg.TypeItem) int {
			return msg.Key{Org: a.Org, Type: a.Type}.Compare(msg.Key{Org: b.Org, Type: b.Type})
		})
	case *msg.ListAggregatesResponse:
		m.Aggregates = emptyIsNil(m.Aggregates)
		for i := range m.Aggregates {
			m.Aggregates[i].MaxServerTimestamp = min(m.Aggregates[i].MaxServerTimestamp, 1) // 0 means none
		}
		slices.SortFunc(m.Aggregates, func(a, b msg.AggregateItem) int { return a.Key.Compare(b.Key) })
	}
}

func emptyIsNil[T any](items []T) []T {
	if len(items) == 0 {
		return nil
	}
	return items
}
