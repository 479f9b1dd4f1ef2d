package forward_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/forward"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// service answers requests with what the test says, and keeps them.
type service struct {
	mu     sync.Mutex
	answer func(n int, w http.ResponseWriter)
	bodies []string
	heads  []http.Header
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.bodies, s.heads = append(s.bodies, string(body)), append(s.heads, r.Header)
	n, answer := len(s.bodies), s.answer
	s.mu.Unlock()
	if answer != nil {
		answer(n, w)
	}
}

func start(t *testing.T, s *service, o forward.Options) *forward.Forwarder {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	to, err := url.Parse(server.URL + "/orders?x=1")
	if err != nil {
		t.Fatal(err)
	}
	o.To, o.Timeout, o.Workers = to, 20*time.Second, 1
	f := forward.New(o)
	t.Cleanup(f.Close)
	return f
}

var key = msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}

func change(version uint64, payloads ...string) stream.Change {
	c := stream.Change{Kind: stream.Batch, Key: key, Cursor: checkpoint.Cursor{Version: version}}
	c.Batch.Version = version
	for i, p := range payloads {
		c.Batch.Events = append(c.Batch.Events, msg.Event{EventSeq: uint64(i), Timestamp: 1700000000000 + uint64(i), Major: 4, Minor: 1, Value: []byte(p)})
	}
	c.Cursor.Anchor = checkpoint.AnchorOf(&c.Batch)
	return c
}

func TestEventsArePostedOneByOneAsTheyAre(t *testing.T) {
	s := &service{}
	f := start(t, s, forward.Options{})
	c := change(7, `{"b" : 1, "a":"<&>"}`, "\xff\x00", `{"a":`, "")
	c.Batch.Events[1].EventID = msg.Some(msg.IDFromUint64(9))
	if err := f.Handle(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if len(s.bodies) != 4 {
		t.Fatalf("%d requests for 4 events", len(s.bodies))
	}
	if !strings.Contains(s.bodies[0], `"value":{"b" : 1, "a":"<&>"}}`) {
		t.Errorf("a JSON payload was changed: %s", s.bodies[0])
	}
	for i, want := range []string{
		`"version":7,"index":0,"major":4,"minor":1,"timestamp":1700000000000,"value":`,
		`"index":1,"major":4,"minor":1,"event_id":"00000000-0000-0000-0000-000000000009","timestamp":1700000000001,"value_base64":"/wA="`,
		`"value_base64":"eyJhIjo="`, `"value_base64":""`,
	} {
		if !strings.Contains(s.bodies[i], want) || !json.Valid([]byte(s.bodies[i])) {
			t.Errorf("request %d is %s, want %s in it", i, s.bodies[i], want)
		}
		var body struct{ ID, Org string }
		if err := json.Unmarshal([]byte(s.bodies[i]), &body); err != nil {
			t.Fatal(err)
		}
		if got := s.heads[i].Get("Idempotency-Key"); got != body.ID || got != c.EventID(i).String() || body.Org != key.Org.String() {
			t.Errorf("request %d: Idempotency-Key %q, id %q, event id %v", i, got, body.ID, c.EventID(i))
		}
	}
}

func TestABatchIsOneArray(t *testing.T) {
	s := &service{}
	f := start(t, s, forward.Options{Batch: true})
	if err := f.Handle(t.Context(), change(7, `1`, `"two"`)); err != nil {
		t.Fatal(err)
	}
	var events []struct{ Index int }
	if err := json.Unmarshal([]byte(s.bodies[0]), &events); err != nil || len(s.bodies) != 1 || len(events) != 2 || events[1].Index != 1 {
		t.Errorf("%d requests, the first %s, %v", len(s.bodies), s.bodies[0], err)
	}
}

func TestWhatWasAnsweredIsNotPostedAgain(t *testing.T) {
	s := &service{answer: func(n int, w http.ResponseWriter) {
		if n == 2 || n == 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}}
	f := start(t, s, forward.Options{})
	c := change(7, `"a"`, `"b"`, `"c"`)
	for range 2 {
		if err := f.Handle(t.Context(), c); err == nil {
			t.Fatal("an unanswered event counts as handled")
		}
	}
	if err := f.Handle(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := values(t, s.bodies); !slices.Equal(got, []string{"a", "b", "b", "b", "c"}) {
		t.Errorf("posted %v", got)
	}
	// The same version of another life is another batch.
	s.answer = func(n int, w http.ResponseWriter) {
		if n == 7 {
			w.WriteHeader(http.StatusBadGateway)
		}
	}
	if err := f.Handle(t.Context(), c); err == nil {
		t.Fatal("a bad gateway counts as handled")
	}
	c.Cursor.Life++
	if err := f.Handle(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := values(t, s.bodies[5:]); !slices.Equal(got, []string{"a", "b", "a", "b", "c"}) {
		t.Errorf("posted %v of the two lives", got)
	}
}

func values(t *testing.T, bodies []string) []string {
	t.Helper()
	var all []string
	for _, body := range bodies {
		var event struct{ Value string }
		if err := json.Unmarshal([]byte(body), &event); err != nil {
			t.Fatal(err)
		}
		all = append(all, event.Value)
	}
	return all
}

func TestAnswersDecide(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		status int
		header string
		want   operators.Verdict // 0: handled
		after  time.Duration
	}{
		{200, "", 0, 0},
		{204, "", 0, 0},
		{301, "", operators.Retry, 0},
		{400, "", operators.Park, 0},
		{404, "", operators.Park, 0},
		{408, "", operators.Retry, 0},
		{409, "", operators.Park, 0},
		{410, "", operators.Park, 0},
		{422, "", operators.Park, 0},
		{425, "", operators.Retry, 0},
		{429, "7", operators.Retry, 7 * time.Second},
		{500, "", operators.Retry, 0},
		{503, now.Add(9 * time.Second).Format(http.TimeFormat), operators.Retry, 9 * time.Second},
		{503, now.Add(-time.Hour).Format(http.TimeFormat), operators.Retry, 0},
		{503, "99999999", operators.Retry, time.Hour},
		{503, "soon", operators.Retry, 0},
	} {
		s := &service{answer: func(_ int, w http.ResponseWriter) {
			if test.header != "" {
				w.Header().Set("Retry-After", test.header)
			}
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, "no\x1b[31m\nlines "+strings.Repeat("x", 1000))
		}}
		if test.status == 204 {
			s.answer = func(_ int, w http.ResponseWriter) { w.WriteHeader(204) }
		}
		f := start(t, s, forward.Options{Now: func() time.Time { return now }})
		err := f.Handle(t.Context(), change(1, `1`))
		if test.want == 0 {
			if err != nil {
				t.Errorf("%d: %v", test.status, err)
			}
			continue
		}
		if got := forward.Verdict(operators.Failure{Err: err}); err == nil || got != test.want {
			t.Errorf("%d: %v after %v, want %v", test.status, got, err, test.want)
			continue
		}
		var asked interface{ RetryAfter() time.Duration }
		if errors.As(err, &asked) && asked.RetryAfter() != test.after {
			t.Errorf("%d %q: again after %v, want %v", test.status, test.header, asked.RetryAfter(), test.after)
		}
		if text := err.Error(); strings.ContainsAny(text, "\x1b\n") || len(text) > 400 {
			t.Errorf("%d: error %q", test.status, text)
		}
	}
}

func TestLostAnswersAreTriedAgain(t *testing.T) {
	s := &service{answer: func(int, http.ResponseWriter) { panic(http.ErrAbortHandler) }}
	f := start(t, s, forward.Options{})
	err := f.Handle(t.Context(), change(1, `1`))
	if err == nil || forward.Verdict(operators.Failure{Err: err}) != operators.Retry {
		t.Errorf("a connection that was cut: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Handle(ctx, change(1, `1`)); !errors.Is(err, context.Canceled) {
		t.Errorf("after a cancel: %v", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	other := &service{}
	elsewhere := httptest.NewServer(other)
	defer elsewhere.Close()
	s := &service{answer: func(_ int, w http.ResponseWriter) {
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}}
	f := start(t, s, forward.Options{Authorization: "Bearer secret"})
	if err := f.Handle(t.Context(), change(1, `1`)); err == nil || len(other.bodies) > 0 {
		t.Errorf("%v; the other address got %v", err, other.bodies)
	}
	if got := s.heads[0].Get("Authorization"); got != "Bearer secret" {
		t.Errorf("Authorization is %q", got)
	}
}

func TestSignatureCoversTimeAndBody(t *testing.T) {
	s := &service{}
	f := start(t, s, forward.Options{Key: []byte("secret"), Now: func() time.Time { return time.Unix(1700000000, 0) }})
	if err := f.Handle(t.Context(), change(1, `1`)); err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte("secret"))
	mac.Write([]byte("1700000000." + s.bodies[0]))
	if got, want := s.heads[0].Get("Celeriant-Signature"), "t=1700000000,v1="+hex.EncodeToString(mac.Sum(nil)); got != want {
		t.Errorf("signature %q, want %q", got, want)
	}
}

func TestLifecycleIsPostedWhenAskedFor(t *testing.T) {
	changes := []stream.Change{
		{Kind: stream.Deleted, Key: key}, {Kind: stream.Reset, Key: key},
		{Kind: stream.Truncated, Key: key, From: 1, To: 3}, {Kind: stream.Unreadable, Key: key, Version: 4}, {Kind: stream.CaughtUp},
	}
	for _, asked := range []bool{false, true} {
		s := &service{}
		f := start(t, s, forward.Options{Lifecycle: asked})
		for _, c := range changes {
			if err := f.Handle(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if !asked && len(s.bodies) != 0 || asked && len(s.bodies) != 4 {
			t.Errorf("asked %v: posted %v", asked, s.bodies)
		}
		if asked && !strings.Contains(s.bodies[2], `"kind":"truncated"`) {
			t.Errorf("posted %s", s.bodies[2])
		}
	}
}
