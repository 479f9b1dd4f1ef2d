package status

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

type fixed struct {
	facts []Facts
	rest  Snapshot
}

func (f *fixed) Collect(_ context.Context, c *Collection) {
	c.Facts = append(c.Facts, f.facts...)
	c.Snapshot = f.rest
}

type recorded struct{ done []Action }

func (r *recorded) Do(_ context.Context, a Action) error {
	if a.Version == 404 {
		return errors.New("the aggregate has moved on: reload")
	}
	r.done = append(r.done, a)
	return nil
}

func everything() *fixed {
	f := &fixed{}
	for _, s := range situations {
		facts := s.facts
		facts.Name = s.name
		f.facts = append(f.facts, facts)
	}
	f.rest.Parked = []Parked{{Consumer: "parked", Key: "01/02/03", Life: 1, Version: 7, Attempts: 4, Since: ago(time.Hour), Error: "<script>alert(1)</script>"}}
	f.rest.Nodes = []Node{{Address: "10.0.0.1:10000", Role: "leader", Open: 3, Idle: 2}}
	f.rest.Partitions = []Partitions{{Consumer: "orders", Read: ago(time.Second), Owners: []string{"me", "web-7", ""}, Mine: []uint32{0}}}
	return f
}

func newPage(t *testing.T, o Options) (*Page, *httptest.Server) {
	t.Helper()
	o.Now = func() time.Time { return noon }
	page := New(o)
	page.Add(everything())
	server := httptest.NewServer(http.StripPrefix("/status", page))
	t.Cleanup(server.Close)
	return page, server
}

func get(t *testing.T, url string) (int, string, http.Header) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body), answer.Header
}

func TestPageSaysWhatTheSnapshotSays(t *testing.T) {
	_, server := newPage(t, Options{Process: "web-1"})
	_, text, _ := get(t, server.URL+"/status/status.json")
	var s struct {
		Sentence  string
		Level     string
		Consumers []struct{ Name, Says, Level string }
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	if s.Level != "ended" || len(s.Consumers) != len(situations) || s.Consumers[0].Level != "ended" {
		t.Fatalf("level %q, %d consumers, the first %q", s.Level, len(s.Consumers), s.Consumers[0].Level)
	}
	code, page, header := get(t, server.URL+"/status/")
	if code != http.StatusOK || !strings.Contains(page, s.Sentence) {
		t.Errorf("code %d, the page does not say %q", code, s.Sentence)
	}
	for _, c := range s.Consumers {
		if !strings.Contains(page, c.Says) {
			t.Errorf("the page does not say %q", c.Says)
		}
	}
	if strings.Contains(page, "<script>alert") {
		t.Error("a text from a handler was not escaped")
	}
	if strings.Contains(page, "<form") {
		t.Error("a page without actions shows a form")
	}
	if policy := header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'self'") {
		t.Errorf("content security policy %q", policy)
	}
	for _, asset := range []string{"page.css", "page.js"} {
		if code, _, _ := get(t, server.URL+"/status/"+asset); code != http.StatusOK {
			t.Errorf("%s answered %d", asset, code)
		}
	}
}

func TestEventsCarryTheSentence(t *testing.T) {
	_, server := newPage(t, Options{Streams: 1})
	answer, err := http.Get(server.URL + "/status/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() && !strings.Contains(lines.Text(), "consumers need attention") {
		if text := lines.Text(); text != "" && !strings.HasPrefix(text, "data: ") {
			t.Fatalf("line %q is no data of an event", text)
		}
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
	if code, text, _ := get(t, server.URL+"/status/events"); code != http.StatusTooManyRequests || !strings.Contains(text, "status.json") {
		t.Errorf("a second stream of one answered %d %q", code, text)
	}
}

func TestHealthLooksAtNothingElse(t *testing.T) {
	_, server := newPage(t, Options{})
	if code, _, _ := get(t, server.URL+"/status/healthz"); code != http.StatusOK {
		t.Errorf("healthz answered %d", code)
	}
	code, reason, _ := get(t, server.URL+"/status/readyz")
	if code != http.StatusServiceUnavailable || !strings.Contains(reason, "has ended") {
		t.Errorf("readyz answered %d %q", code, reason)
	}
}

func TestReady(t *testing.T) {
	live := describe(&situations[1].facts, &trail{}, noon) // pending since 3 s
	for _, test := range []struct {
		name      string
		consumers []Consumer
		lag       time.Duration
		ready     bool
	}{
		{"nothing opened", nil, 0, false},
		{"caught up once", []Consumer{live}, 0, true},
		{"within the bound", []Consumer{live}, 4 * time.Second, true},
		{"beyond the bound", []Consumer{live}, 2 * time.Second, false},
		{"never caught up", []Consumer{{Name: "x"}}, 0, false},
		{"ended", []Consumer{{Name: "x", CaughtUp: true, Level: Ended}}, 0, false},
	} {
		s := Snapshot{Consumers: test.consumers}
		if ready, reason := s.Ready(test.lag); ready != test.ready || reason == "" {
			t.Errorf("%s: ready %v (%s), want %v", test.name, ready, reason, test.ready)
		}
	}
}

func TestActions(t *testing.T) {
	done := &recorded{}
	page, server := newPage(t, Options{
		Actions: done,
		Authorize: func(r *http.Request, a Action) error {
			if a.Consumer == "secret" {
				return errors.New("not yours")
			}
			return nil
		},
	})
	if _, text, _ := get(t, server.URL+"/status/"); !strings.Contains(text, "<form") {
		t.Error("a page with actions shows no form")
	}
	good := func() url.Values {
		return url.Values{
			"token": {page.token}, "consumer": {"parked"}, "key": {"01/02/03"}, "life": {"1"},
			"version": {"7"}, "attempts": {"4"}, "reason": {"fixed upstream"},
		}
	}
	post := func(action string, form url.Values, header http.Header) int {
		r, err := http.NewRequest(http.MethodPost, server.URL+"/status/actions/"+action, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for name, values := range header {
			r.Header[name] = values
		}
		client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	with := func(name, value string) url.Values {
		form := good()
		form.Set(name, value)
		return form
	}
	for _, test := range []struct {
		name   string
		action string
		form   url.Values
		header http.Header
		want   int
	}{
		{"forged token", "release", with("token", "x"), nil, http.StatusBadRequest},
		{"no reason", "release", with("reason", " "), nil, http.StatusBadRequest},
		{"no such action", "destroy", good(), nil, http.StatusBadRequest},
		{"version that is none", "skip", with("version", "-1"), nil, http.StatusBadRequest},
		{"too long", "release", with("reason", strings.Repeat("x", longestForm)), nil, http.StatusBadRequest},
		{"another site", "release", good(), http.Header{"Sec-Fetch-Site": {"cross-site"}}, http.StatusForbidden},
		{"another kind of body", "release", good(), http.Header{"Content-Type": {"text/plain"}}, http.StatusBadRequest},
		{"not allowed", "release", with("consumer", "secret"), nil, http.StatusForbidden},
		{"changed meanwhile", "skip", with("version", "404"), nil, http.StatusConflict},
	} {
		if got := post(test.action, test.form, test.header); got != test.want {
			t.Errorf("%s: answered %d, want %d", test.name, got, test.want)
		}
	}
	if len(done.done) != 0 {
		t.Fatalf("refused actions were carried out: %+v", done.done)
	}
	if got := post("release", good(), nil); got != http.StatusSeeOther {
		t.Fatalf("a good action answered %d", got)
	}
	want := Action{Name: "release", Consumer: "parked", Key: "01/02/03", Life: 1, Version: 7, Attempts: 4, Reason: "fixed upstream"}
	if len(done.done) != 1 || done.done[0] != want {
		t.Errorf("carried out %+v, want %+v", done.done, want)
	}
	if code, _, _ := get(t, server.URL+"/status/actions/release"); code != http.StatusMethodNotAllowed {
		t.Errorf("GET of an action answered %d", code)
	}
}

func TestNoActionWithoutAnAuthorizer(t *testing.T) {
	page, _ := newPage(t, Options{Actions: &recorded{}})
	if page.acts() {
		t.Error("a page without an authorizer offers actions")
	}
}

// A gateway has streams and no consumer: its page sums them up, and is ready when Ready says so.
func TestAGatewayHasAPage(t *testing.T) {
	var trouble error
	page := New(Options{Ready: func() error { return trouble }})
	page.Add(&fixed{rest: Snapshot{Streams: []Stream{{Mode: "shared", Transport: "grpc", Open: 2, Stalled: 1}, {Mode: "live", Transport: "sse", Open: 1}}}})
	server := httptest.NewServer(page)
	defer server.Close()
	const says = "No consumer is running in this process; its gateway serves 3 streams; of 1 the clients do not read."
	if _, text, _ := get(t, server.URL); !strings.Contains(text, says) || !strings.Contains(text, "shared (grpc)") {
		t.Errorf("the page does not say %q:\n%s", says, text)
	}
	if code, reason, _ := get(t, server.URL+"/readyz"); code != http.StatusOK {
		t.Errorf("readyz answered %d %q", code, reason)
	}
	trouble = errors.New("the gateway stops")
	if code, reason, _ := get(t, server.URL+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(reason, "the gateway stops") {
		t.Errorf("readyz answered %d %q", code, reason)
	}
}
