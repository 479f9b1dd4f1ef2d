package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/gateway/access"
	"github.com/celeriant/celeriant-go/gateway/web"
	"github.com/celeriant/celeriant-go/msg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	org, typ, writer = msg.IDFromUint64(1), msg.IDFromUint64(2), msg.IDFromUint64(3)
	patience         = time.Minute
)

func keyOf(n uint64) msg.Key { return msg.Key{Org: org, Type: typ, Aggregate: msg.IDFromUint64(n)} }

type world struct {
	t       *testing.T
	node    *celerianttest.Node
	client  *celeriant.Client
	handler *web.Handler
	url     string
	http    *http.Client
}

func newWorld(t *testing.T, opts web.Options) *world {
	t.Helper()
	node := celerianttest.Run(t, celerianttest.Options{})
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	handler, err := web.NewHandler(client, opts)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := web.NewServer(handler)
	go server.Serve(listener)
	transport := new(http.Transport)
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return &world{t: t, node: node, client: client, handler: handler, url: "http://" + listener.Addr().String(), http: &http.Client{Transport: transport}}
}

func (w *world) write(n uint64, payloads ...string) {
	w.t.Helper()
	for _, p := range payloads {
		if _, err := w.client.WriteEvents(context.Background(), keyOf(n), []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte(p)}}, writer); err != nil {
			w.t.Fatal(err)
		}
	}
}

// get sends a request with headers "Name: value".
func (w *world) get(path string, headers ...string) *http.Response {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Add(name, value)
	}
	resp, err := w.http.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (w *world) json(path string, into any, headers ...string) {
	w.t.Helper()
	resp := w.get(path, headers...)
	if resp.StatusCode != http.StatusOK {
		w.t.Fatalf("%s answers %s", path, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		w.t.Fatal(err)
	}
}

// event is one server-sent event.
type event struct{ name, id, data string }

// events reads server-sent events.
type events struct {
	t    *testing.T
	scan *bufio.Scanner
	resp *http.Response
}

func (w *world) watch(query string, headers ...string) *events {
	w.t.Helper()
	resp := w.get("/v1/watch?"+query, headers...)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		w.t.Fatalf("watch answers %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	return &events{w.t, bufio.NewScanner(resp.Body), resp}
}

func (e *events) next() event {
	e.t.Helper()
	var got event
	for e.scan.Scan() {
		field, value, _ := strings.Cut(e.scan.Text(), ": ")
		switch field {
		case "event":
			got.name = value
		case "id":
			got.id = value
		case "data":
			if got.data != "" {
				e.t.Error("an event has two lines of data")
			}
			got.data = value
		case "":
			if got.name != "" {
				return got
			}
		}
	}
	e.t.Fatal("the stream ended:", e.scan.Err())
	return got
}

func (e *events) expect(names ...string) (last event) {
	e.t.Helper()
	for _, name := range names {
		last = e.next()
		if got := describe(last); got != name {
			e.t.Fatalf("event %s, want %s (%+v)", got, name, last)
		}
	}
	return last
}

// describe is an event in short: "1.2" is version 2 of aggregate 1.
func describe(e event) string {
	var form struct {
		Aggregate msg.ID
		Batch     *struct{ Version string }
	}
	_ = json.Unmarshal([]byte(e.data), &form)
	if form.Batch == nil {
		return e.name
	}
	_, n := form.Aggregate.Uint64s()
	return fmt.Sprintf("%d.%s", n, form.Batch.Version)
}

func path(n uint64) string { return url.QueryEscape(keyOf(n).String()) }

// The id of an event holds the position of every aggregate of the watch, so that a
// browser that reconnects misses nothing and gets nothing twice.
func TestAWatchOfAggregatesContinues(t *testing.T) {
	w := newWorld(t, web.Options{})
	w.write(1, `"a"`)
	w.write(2, `"b"`)
	query := "from=beginning&aggregate=" + path(1) + "&aggregate=" + path(2) + "&aggregate=" + path(3)
	first := w.watch(query)
	first.expect("restart")
	for range 3 { // 1.1, 2.1 and caught_up, the former two in any order
		first.next()
	}
	w.write(2, `"c"`)
	last := first.expect("2.2")
	first.resp.Body.Close()
	w.write(1, `"d"`)
	w.write(3, `"e"`)
	again := w.watch(query, "Last-Event-ID: "+last.id)
	seen := map[string]bool{}
	for range 3 {
		seen[describe(again.next())] = true
	}
	if !seen["1.2"] || !seen["3.1"] || !seen["caught_up"] {
		t.Errorf("after reconnecting: %v", seen)
	}
	w.write(1, `"f"`)
	again.expect("1.3")
}

// Until a start from now has found where each aggregate stands, events have no id:
// continuing behind one would pass over what was written meanwhile.
func TestAStartFromNowContinues(t *testing.T) {
	w := newWorld(t, web.Options{})
	w.write(1, `"a"`)
	query := "aggregate=" + path(1) + "&aggregate=" + path(2)
	first := w.watch(query)
	if e := first.expect("restart"); e.id != "" {
		t.Errorf("restart has the id %s", e.id)
	}
	caughtUp := first.expect("caught_up")
	first.resp.Body.Close()
	w.write(1, `"b"`)
	w.write(2, `"c"`)
	again := w.watch(query, "Last-Event-ID: "+caughtUp.id)
	seen := map[string]bool{}
	for range 3 {
		seen[describe(again.next())] = true
	}
	if !seen["1.2"] || !seen["2.1"] || !seen["caught_up"] {
		t.Errorf("after reconnecting: %v", seen)
	}
}

func TestIDsThatAreNotWholeRestart(t *testing.T) {
	w := newWorld(t, web.Options{})
	w.write(1, `"a"`)
	query := "from=beginning&aggregate=" + path(1) + "&aggregate=" + path(2)
	first := w.watch(query)
	good := first.expect("restart", "1.1", "caught_up").id
	one, _, _ := strings.Cut(good, ",")
	for _, id := range []string{one, "x,y", good + ",-", "!!,-", "-,-,-"} {
		again := w.watch(query, "Last-Event-ID: "+id)
		again.expect("restart", "1.1")
		again.resp.Body.Close()
	}
	w.watch(query, "Last-Event-ID: "+good).expect("caught_up")
}

// A watch of more than aggregates has no ids; each connection begins with restart.
func TestOtherWatchesRestart(t *testing.T) {
	w := newWorld(t, web.Options{})
	s := w.watch("type="+url.QueryEscape(org.String()+"/"+typ.String()), "Last-Event-ID: -,-")
	if e := s.expect("restart"); e.id != "" {
		t.Errorf("restart has the id %s", e.id)
	}
	s.expect("caught_up")
	w.write(1, `"a"`)
	if e := s.expect("1.1"); e.id != "" {
		t.Errorf("the event has the id %s", e.id)
	}
}

func TestReads(t *testing.T) {
	w := newWorld(t, web.Options{})
	w.write(1, "{\"n\":\n18446744073709551615, \"t\":\"<&>\"}", "no json")
	var page struct {
		Batches []struct {
			Version string
			Events  []struct {
				JSON    json.RawMessage
				Base64  string
				NotJSON bool `json:"not_json"`
			}
		}
		Next string
	}
	w.json("/v1/read?payload=json&key="+path(1), &page)
	if len(page.Batches) != 2 || page.Batches[1].Version != "2" {
		t.Fatalf("page %+v", page)
	}
	if first := page.Batches[0].Events[0]; string(first.JSON) != `{"n":18446744073709551615,"t":"<&>"}` || first.NotJSON {
		t.Errorf("the first payload is %s", first.JSON)
	}
	if second := page.Batches[1].Events[0]; second.JSON != nil || !second.NotJSON || second.Base64 != "bm8ganNvbg==" {
		t.Errorf("the second payload is %+v", second)
	}
	var details map[string]any
	w.json("/v1/details?key="+path(1), &details)
	if details["max_version"] != "2" {
		t.Errorf("details %v", details)
	}
	var list struct {
		Aggregates []map[string]any
		More       bool
	}
	w.write(2, "x")
	w.json("/v1/aggregates?limit=1&type="+url.QueryEscape(org.String()+"/"+typ.String()), &list)
	if len(list.Aggregates) != 1 || !list.More {
		t.Errorf("list %+v", list)
	}
}

// The description names every parameter that is taken, since it is the table that
// takes them.
func TestTheDescriptionIsTheTable(t *testing.T) {
	w := newWorld(t, web.Options{})
	var description struct {
		Calls []struct {
			Path       string
			Parameters []struct{ Name string }
		}
	}
	w.json("/v1", &description)
	if len(description.Calls) != 4 {
		t.Fatalf("description %+v", description)
	}
	for _, c := range description.Calls {
		if resp := w.get(c.Path + "?token=secret"); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s with an unknown parameter answers %s", c.Path, resp.Status)
		}
		for _, p := range c.Parameters {
			resp := w.get(c.Path + "?" + p.Name + "=%20")
			body := make([]byte, 1000)
			n, _ := resp.Body.Read(body)
			if resp.StatusCode != http.StatusBadRequest || strings.Contains(string(body[:n]), "not known") {
				t.Errorf("%s does not take %s: %s %s", c.Path, p.Name, resp.Status, body[:n])
			}
		}
	}
}

// Requests that browsers send for pages without the right to them are refused.
func TestCrossSiteRequests(t *testing.T) {
	w := newWorld(t, web.Options{Origins: []string{"https://app.example.com"}})
	tests := []struct {
		name    string
		headers []string
		status  int
	}{
		{"a program", nil, 200},
		{"the same origin", []string{"Sec-Fetch-Site: same-origin"}, 200},
		{"the address bar", []string{"Sec-Fetch-Site: none"}, 200},
		{"another site", []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, 403},
		{"another site without origin", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"a sibling host", []string{"Sec-Fetch-Site: same-site", "Origin: https://evil.example"}, 403},
		{"an old browser's page", []string{"Origin: https://evil.example"}, 403},
		{"a page without origin", []string{"Origin: null"}, 403},
		{"a trusted origin", []string{"Sec-Fetch-Site: cross-site", "Origin: https://app.example.com"}, 200},
		{"a prefix of a trusted origin", []string{"Sec-Fetch-Site: cross-site", "Origin: https://app.example.com.evil.example"}, 403},
		{"DNS rebinding", []string{"Host: evil.example", "Sec-Fetch-Site: same-origin"}, 421},
		{"a host with a port", []string{"Host: LOCALHOST:8080"}, 200},
		{"IPv6", []string{"Host: [::1]:8080"}, 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			resp := w.get("/v1", test.headers...)
			if resp.StatusCode != test.status {
				t.Errorf("answer %s, want %d", resp.Status, test.status)
			}
			if allowed := resp.Header.Get("Access-Control-Allow-Origin"); (allowed != "") != (test.name == "a trusted origin") {
				t.Errorf("allowed origin %q", allowed)
			}
			if resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers %v", resp.Header)
			}
		})
	}
}

func TestOnlyGET(t *testing.T) {
	w := newWorld(t, web.Options{})
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		r, err := http.NewRequest(method, w.url+"/v1/read", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := w.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s answers %s", method, resp.Status)
		}
	}
}

func TestRights(t *testing.T) {
	token, hash := access.NewKey("k")
	file := filepath.Join(t.TempDir(), "auth.json")
	text := `{"callers":[{"name":"page","keys":[{"id":"k","sha256":"` + hash + `"}],"read":["` + org.String() + `"]}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	auth, err := access.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, web.Options{Authenticator: auth, Authorizer: auth, Ping: 10 * time.Millisecond, Reauthorize: 10 * time.Millisecond})
	w.write(1, "x")
	foreign := url.QueryEscape(msg.IDFromUint64(9).String() + "/" + typ.String())
	calls := map[string]string{
		"read": "/v1/read?key=" + path(1), "details": "/v1/details?key=" + path(1),
		"aggregates": "/v1/aggregates?type=" + url.QueryEscape(org.String()+"/"+typ.String()), "watch": "/v1/watch?org=" + org.String(),
	}
	denied := map[string]string{
		"read": "/v1/read?key=" + foreign + "%2F" + typ.String(), "details": "/v1/details?key=" + foreign + "%2F" + typ.String(),
		"aggregates": "/v1/aggregates?type=" + foreign, "watch": "/v1/watch?org=" + org.String() + "&type=" + foreign,
		"watch of everything": "/v1/watch?everything=1",
	}
	bearer := "Authorization: Bearer " + token
	for name, call := range calls {
		if resp := w.get(call, bearer); resp.StatusCode != 200 {
			t.Errorf("%s with a key: %s", name, resp.Status)
		}
		for _, headers := range [][]string{nil, {"Authorization: Bearer k.wrong"}, {"Authorization: Basic " + token}, {bearer, bearer}, {"Cookie: token=" + token}} {
			if resp := w.get(call, headers...); resp.StatusCode != 401 {
				t.Errorf("%s with %q: %s", name, headers, resp.Status)
			}
		}
	}
	for name, call := range denied {
		if resp := w.get(call, bearer); resp.StatusCode != 403 {
			t.Errorf("%s of another organisation: %s", name, resp.Status)
		}
	}
	// A right that is lost ends what runs.
	s := w.watch("org="+org.String(), bearer)
	s.expect("restart", "caught_up")
	if err := os.WriteFile(file, []byte(strings.Replace(text, org.String(), typ.String(), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.Reload(); err != nil {
		t.Fatal(err)
	}
	for s.scan.Scan() { // ends with the stream
	}
}

func TestWatchesAreBounded(t *testing.T) {
	denials := make(chan string, 1)
	w := newWorld(t, web.Options{Denied: func(path, reason string) { denials <- path + " " + reason }})
	for range 4 {
		w.watch("org=" + org.String()).expect("restart")
	}
	resp := w.get("/v1/watch?org=" + org.String())
	body := make([]byte, 1000)
	n, _ := resp.Body.Read(body)
	if resp.StatusCode != http.StatusTooManyRequests || !strings.Contains(string(body[:n]), "HTTP/2") {
		t.Errorf("the fifth watch: %s %s", resp.Status, body[:n])
	}
	if told := <-denials; told != "/v1/watch watches_per_caller" {
		t.Errorf("the hook is told of %q", told)
	}
	if all := w.handler.Streams(); len(all) != 1 || all[0].Open != 4 || all[0].Transport != "sse" {
		t.Errorf("with four watches open the handler tells of %+v", all)
	}
}
