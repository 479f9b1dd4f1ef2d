package otel_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/otel"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/status"
	"github.com/celeriant/celeriant-go/stream"
)

// shift is a consumer on a pair of nodes, as the person on call sees it: by its page, its
// metrics and its log. The shift lives in virtual time.
type shift struct {
	*rig
	t      *testing.T
	pair   *celerianttest.Pair
	writer *pool.Pool
	store  *away
	sub    stream.Consumer
	page   *status.Page
	logged journal
	before int // bytes of the log when the fault began

	handle atomic.Pointer[func(stream.Change) error] // nil: all well
	db     atomic.Pointer[error]                     // why no transaction begins; nil: all well
	hung   chan struct{}                             // what a hanging handler waits for
	locked atomic.Bool                               // the key is none any more

	open func(ctx context.Context) (stream.Consumer, error)
}

// duty is what a shift runs with.
type duty struct {
	nodes   celerianttest.PairOptions
	stream  stream.Options
	project bool // into a database, not by a handler
	keyed   bool // nodes ask for a key
}

const consumerName = "orders"

var apiKey = [pool.APIKeySize]byte{1}

// onCall runs a test with a consumer that is live and has handled one change.
func onCall(t *testing.T, d duty, test func(s *shift)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d.nodes.InMemory = true
		if d.keyed {
			d.nodes.APIKeys = celerianttest.APIKeys{PrimaryRW: celerianttest.HashAPIKey(apiKey)}
		}
		pair, err := celerianttest.StartPair(d.nodes)
		if err != nil {
			t.Fatal(err)
		}
		defer pair.Close()
		s := &shift{rig: newRig(t, otel.Options{}), t: t, pair: pair, store: &away{RecordStore: checkpoint.NewMemory()}}
		connect := func() *pool.Pool {
			o := pool.Options{Address: pair.A().Addr(), SeedAddresses: []string{pair.B().Addr()}, Dial: pair.DialContext, DisableCompression: true, RequestTimeout: 500 * time.Millisecond}
			if d.keyed {
				o.Identity = s.identity
			}
			if s.writer != nil { // the consumer's
				s.Pool(&o)
			}
			p, err := pool.New(o)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		s.writer = connect()
		requests := connect()
		defer func() { _ = errors.Join(s.writer.Close(context.Background()), requests.Close(context.Background())) }()
		logger := slog.New(slog.NewTextHandler(&s.logged, nil))
		d.stream.Name, d.stream.Store, d.stream.Hooks, d.stream.Logger = consumerName, s.store, s.Stream(consumerName), logger
		s.open = func(ctx context.Context) (stream.Consumer, error) {
			return stream.Open(ctx, stream.FromPool(requests), stream.Everything(), d.stream)
		}
		s.page = status.New(status.Options{})
		s.page.WatchPool(requests)
		s.page.WatchStore(s.store, consumerName)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.consume(ctx, d.project, operators.WithLogger(logger), operators.WithHooks(s.Consumer(consumerName)), operators.WithVerdicts(verdictOf))
		}()
		defer func() {
			s.handle.Store(nil)
			s.db.Store(nil)
			s.store.cause.Store(nil)
			stop()
			<-ended
		}()
		s.write(1)
		time.Sleep(10 * time.Second)
		if seen := s.look(); seen.Level != status.Fine || seen.State != "live" || !strings.HasSuffix(seen.Says, "all handled") {
			t.Fatalf("at first the page says %q: %+v", seen.Says, seen)
		}
		test(s)
	})
}

// identity shows the key that the nodes know, until it is revoked.
func (s *shift) identity(context.Context) (pool.Credentials, error) {
	key := apiKey
	if s.locked.Load() {
		key[0]++
	}
	return pool.Credentials{APIKey: pool.NewAPIKey(key)}, nil
}

// errPoison is refused for good, anything else for a while.
var errPoison = errors.New("no such currency")

func verdictOf(f operators.Failure) operators.Verdict {
	if errors.Is(f.Err, errPoison) {
		return operators.Park
	}
	return operators.Retry
}

// consume handles changes until ctx or the subscription ends.
func (s *shift) consume(ctx context.Context, project bool, o ...operators.Option) {
	call := func(c stream.Change) error {
		if f := s.handle.Load(); f != nil {
			return (*f)(c)
		}
		return nil
	}
	if project {
		var opts []operators.ProjectOption
		for _, option := range o {
			opts = append(opts, option)
		}
		_ = operators.ProjectIn(ctx, s, database{s}, func(_ context.Context, _ struct{}, changes []stream.Change) error {
			for _, c := range changes {
				if err := call(c); err != nil {
					return err
				}
			}
			return nil
		}, opts...)
		return
	}
	var opts []operators.ForEachOption
	for _, option := range o {
		opts = append(opts, option)
	}
	_ = operators.ForEach(ctx, s, func(_ context.Context, c stream.Change) error { return call(c) }, opts...)
}

// Open implements operators.Source. Page and metrics watch the subscription.
func (s *shift) Open(ctx context.Context) (stream.Consumer, error) {
	sub, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	s.sub = sub
	s.page.Watch(sub)
	s.Watch(consumerName, sub.Stats)
	return sub, nil
}

// fails has the handler return an error for one aggregate, or for all.
func (s *shift) fails(err error, aggregate ...uint64) {
	f := func(c stream.Change) error {
		if c.Kind == stream.Batch && (len(aggregate) == 0 || c.Key == keyed(aggregate[0])) {
			return err
		}
		return nil
	}
	s.handle.Store(&f)
}

func keyed(n uint64) msg.Key {
	return msg.Key{Org: key.Org, Type: key.Type, Aggregate: msg.IDFromUint64(n)}
}

// write appends a batch to an aggregate, of so many bytes if that is given.
func (s *shift) write(n uint64, bytes ...int) {
	s.t.Helper()
	value := []byte("x")
	if len(bytes) > 0 {
		value = make([]byte, bytes[0])
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	if _, err := s.writer.WriteEvents(ctx, keyed(n), []msg.Event{{Major: 1, ClientSeq: 1, Value: value}}, msg.IDFromUint64(4), pool.WriteOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// begin notes what the log holds before a fault.
func (s *shift) begin() {
	synctest.Wait()
	s.before = len(s.logged.String())
}

// look opens the page as a browser does, and returns the consumer's row. The page and its
// JSON say the same sentence.
func (s *shift) look() status.Consumer {
	s.t.Helper()
	synctest.Wait()
	get := func(path string) string {
		answer := httptest.NewRecorder()
		s.page.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		body, err := io.ReadAll(answer.Result().Body)
		if err != nil || answer.Code != 200 {
			s.t.Fatalf("%s: %d, %v", path, answer.Code, err)
		}
		return string(body)
	}
	var seen status.Snapshot
	if err := json.Unmarshal([]byte(get("/status.json")), &seen); err != nil {
		s.t.Fatal(err)
	}
	if len(seen.Consumers) != 1 {
		s.t.Fatalf("%d consumers on the page", len(seen.Consumers))
	}
	row := seen.Consumers[0]
	if text := html.UnescapeString(get("/")); !strings.Contains(text, row.Says) || !strings.Contains(text, seen.Sentence) {
		s.t.Errorf("the page does not say %q and %q", seen.Sentence, row.Says)
	}
	return row
}

// metric is the value of a metric's point whose attributes contain some text; -1 for none.
func (s *shift) metric(name, attributes string) float64 {
	s.t.Helper()
	points := s.collect(s.t)[name]
	if i := slices.IndexFunc(points, func(p point) bool { return strings.Contains(p.attributes, attributes) }); i >= 0 {
		return points[i].value
	}
	return -1
}

// sees asserts what a person sees at this moment.
func (s *shift) sees(want sight) {
	s.t.Helper()
	row := s.look()
	if row.Level != want.level || !regexp.MustCompile(want.says).MatchString(row.Says) {
		s.t.Errorf("the page says %v %q, want %v %s", row.Level, row.Says, want.level, want.says)
	}
	if !strings.Contains(row.Cause, want.cause) || want.cause == "" && row.Cause != "" {
		s.t.Errorf("the cause on the page is %q, want %q", row.Cause, want.cause)
	}
	stats := s.sub.Stats()
	if stats.State.Phase != want.phase {
		s.t.Errorf("the state is %v, want %v", stats.State, want.phase)
	}
	if got := s.metric(want.metric, want.attributes); got < want.least {
		s.t.Errorf("%s{%s} is %v, want at least %v", want.metric, want.attributes, got, want.least)
	}
	if log := s.logged.String()[s.before:]; !strings.Contains(log, want.log) {
		s.t.Errorf("the log lacks %q:\n%s", want.log, log)
	}
}

// seesNothing asserts that no trace of a fault is left but in the log and in counters.
func (s *shift) seesNothing(want sight) {
	s.t.Helper()
	row := s.look()
	stats := s.sub.Stats()
	if row.Level != status.Fine || !strings.HasSuffix(row.Says, "all handled") || row.Cause != "" || len(row.Retrying) > 0 {
		s.t.Errorf("after it the page says %v %q: %+v", row.Level, row.Says, row.Retrying)
	}
	if stats.State.Phase != stream.Live || stats.State.Cause != nil || stats.Unhandled != 0 {
		s.t.Errorf("after it: %+v", stats)
	}
	if got := s.metric(want.metric, want.attributes); !want.counts && got > 0 {
		s.t.Errorf("after it %s{%s} is %v", want.metric, want.attributes, got)
	}
	if _, after, _ := strings.Cut(s.logged.String()[s.before:], want.log); !strings.Contains(after, want.over) {
		s.t.Errorf("after it the log lacks %q:\n%s", want.over, after)
	}
}

// sight is what a person sees of a fault.
type sight struct {
	level  status.Level
	phase  stream.Phase
	says   string // on the page, an expression
	cause  string // on the page, contained; empty for none
	metric string
	// attributes are contained in the point's; least is its least value.
	attributes string
	least      float64
	counts     bool   // the metric only grows
	log        string // contained in the log, over once the fault has ended
	over       string
}

// journal is a log.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// away is a store that can be away. The store keeps heartbeats, as one that processes
// share.
type away struct {
	checkpoint.RecordStore
	cause atomic.Pointer[error]
}

func (a *away) gone() error {
	if cause := a.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

func (a *away) leave(cause error) { a.cause.Store(&cause) }

func (a *away) Save(ctx context.Context, o checkpoint.Owner, e []checkpoint.Entry) error {
	if err := a.gone(); err != nil {
		return err
	}
	return a.RecordStore.Save(ctx, o, e)
}

func (a *away) Records(ctx context.Context, name, prefix string) ([]checkpoint.Record, time.Time, error) {
	if err := a.gone(); err != nil {
		return nil, time.Time{}, err
	}
	return a.RecordStore.Records(ctx, name, prefix)
}

func (a *away) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	if err := a.gone(); err != nil {
		return err
	}
	return a.RecordStore.Apply(ctx, name, m)
}

// database keeps cursors in the shift's store, and can be away.
type database struct{ s *shift }

func (d database) Transact(ctx context.Context, o checkpoint.Owner, e []checkpoint.Entry, apply func(context.Context, struct{}) error) error {
	if cause := d.s.db.Load(); cause != nil {
		return &operators.TransactionError{Step: operators.StepBegin, Err: *cause}
	}
	if err := apply(ctx, struct{}{}); err != nil {
		return err
	}
	return d.s.store.Save(ctx, o, e)
}

func (d database) Stored(context.Context, checkpoint.Owner, []checkpoint.Entry) (int, error) {
	return 0, nil
}
