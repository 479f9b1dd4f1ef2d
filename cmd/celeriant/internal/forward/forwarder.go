package forward

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/batchjson"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// Options shape a Forwarder.
type Options struct {
	// To is where changes are posted.
	To *url.URL
	// Batch posts a batch as one array instead of one request for each event.
	Batch bool
	// Lifecycle posts deleted, reset, truncated and unreadable, too.
	Lifecycle bool
	// Timeout bounds one request, from its beginning to the end of the answer.
	Timeout time.Duration
	// Workers is how many requests can be under way at once.
	Workers int
	// Key signs each request when it is not empty.
	Key []byte
	// Authorization is sent as the header of that name when it is not empty.
	Authorization string
	// Now tells the time. Default time.Now.
	Now func() time.Time
}

// Forwarder posts changes. Its Handle is safe for concurrent use, with one change of an
// aggregate at a time.
type Forwarder struct {
	options Options
	client  *http.Client

	mu sync.Mutex
	// answered holds, for aggregates whose change is posted in part, how many of its events
	// the service has answered for. An element lives until its change is handled.
	answered map[msg.Key]progress
}

type progress struct {
	life, version uint64
	events        int
}

// New makes a Forwarder. Close it.
func New(options Options) *Forwarder {
	if options.Now == nil {
		options.Now = time.Now
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = options.Workers
	transport.MaxIdleConns = options.Workers
	return &Forwarder{
		options: options,
		client: &http.Client{
			Transport: transport,
			Timeout:   options.Timeout,
			// Following a redirect would post to an address that nobody named.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		answered: make(map[msg.Key]progress),
	}
}

// Close gives idle connections back.
func (f *Forwarder) Close() { f.client.CloseIdleConnections() }

// Handle posts one change. An error is what judge says of the answer, or that of a request
// that was not answered.
func (f *Forwarder) Handle(ctx context.Context, c stream.Change) error {
	switch {
	case c.Kind == stream.Batch && f.options.Batch:
		return f.post(ctx, appendBatch(nil, &c), c.EventID(0))
	case c.Kind == stream.Batch:
		return f.postEvents(ctx, &c)
	case f.options.Lifecycle && lifecycle(c.Kind):
		return f.post(ctx, batchjson.AppendChange(nil, &c), lifecycleID(&c))
	}
	return nil
}

// lifecycle tells the changes that are no batch and belong to an aggregate.
func lifecycle(k stream.Kind) bool {
	switch k {
	case stream.Deleted, stream.Reset, stream.Truncated, stream.Unreadable:
		return true
	}
	return false
}

func (f *Forwarder) postEvents(ctx context.Context, c *stream.Change) error {
	var body []byte
	for i := f.begin(c); i < len(c.Batch.Events); i++ {
		body = appendEvent(body[:0], c, i)
		if err := f.post(ctx, body, c.EventID(i)); err != nil {
			f.remember(c, i)
			return fmt.Errorf("event %d of %d: %w", i, len(c.Batch.Events), err)
		}
	}
	f.forget(c.Key)
	return nil
}

// begin is the first event that the service has not answered for.
func (f *Forwarder) begin(c *stream.Change) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.answered[c.Key]
	if p.life != c.Cursor.Life || p.version != c.Batch.Version {
		return 0
	}
	return p.events
}

func (f *Forwarder) remember(c *stream.Change, events int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if events == 0 {
		delete(f.answered, c.Key)
		return
	}
	f.answered[c.Key] = progress{life: c.Cursor.Life, version: c.Batch.Version, events: events}
}

func (f *Forwarder) forget(key msg.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.answered, key)
}

const (
	// mostBody is how much of an answer is read, so that its connection can be used again.
	mostBody    = 64 << 10
	longestText = 200
)

func (f *Forwarder) post(ctx context.Context, body []byte, id msg.ID) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.options.To.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "celeriant-forward")
	r.Header.Set("Idempotency-Key", id.String())
	if f.options.Authorization != "" {
		r.Header.Set("Authorization", f.options.Authorization)
	}
	if len(f.options.Key) > 0 {
		r.Header.Set("Celeriant-Signature", sign(f.options.Key, f.options.Now(), body))
	}
	answer, err := f.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, mostBody))
	if err != nil && answer.StatusCode >= 300 {
		text = nil // the status is there, and it is what counts
	} else if err != nil {
		return fmt.Errorf("reading the answer %d: %w", answer.StatusCode, err)
	}
	return judge(answer.StatusCode, answer.Header, printable(text, longestText), f.options.Now())
}

// sign returns the signature's header: the time, and the HMAC-SHA256 of time, dot and body.
func sign(key []byte, now time.Time, body []byte) string {
	seconds := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(seconds + "."))
	mac.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// lifecycleID identifies a change that is no batch, for the header Idempotency-Key: the
// same each time it is posted.
func lifecycleID(c *stream.Change) msg.ID {
	sum := sha256.Sum256(fmt.Appendf(nil, "%v %v %d %d %d %d", c.Kind, c.Key, c.Cursor.Life, c.From, c.To, c.Version))
	var id msg.ID
	copy(id[:], sum[:])
	return id
}
