package status

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"encoding/json"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Options shape a page. The zero value of each field means its default.
type Options struct {
	// Process names this process on the page, for instance its host name. Default: none.
	Process string
	// ReadyLag is how old the oldest unhandled change may be before /readyz refuses.
	// Default 0: lag does not count, because it would stop a roll-out.
	ReadyLag time.Duration
	// Ready is asked by /readyz beside the consumers, and alone where there are none, as in a
	// gateway; its error is the reason. Default nil: a page without consumers is not ready.
	Ready func() error
	// Interval is the time between two events of the page's stream. Default 2 s, at
	// least 500 ms.
	Interval time.Duration
	// Streams bounds the pages that are open at the same time. Default 64; further ones
	// ask for /status.json instead.
	Streams int
	// Actions makes actions available. Default nil: the page changes nothing.
	Actions Actions
	// Authorize decides who may act; an error refuses, and its text is logged, not
	// shown. Authorize is required when Actions is set: a page without it offers no
	// action.
	Authorize func(r *http.Request, a Action) error
	// Logger receives a line for each action and each refusal. Default: none.
	Logger *slog.Logger
	// Now tells the time. Default time.Now.
	Now func() time.Time
}

// Source adds its part to a snapshot. Source is called for each snapshot, by one
// goroutine at a time, must return soon, and must not fail: what cannot be had is left
// out.
type Source interface {
	Collect(ctx context.Context, s *Collection)
}

// Collection is a snapshot under construction.
type Collection struct {
	// Facts become rows, Snapshot.Consumers and the sentences are made of them.
	Facts []Facts
	// Snapshot takes everything else.
	Snapshot Snapshot

	owned map[string][]uint32 // partitions of this process, by consumer
}

// mine marks the partitions that this process owns, also where the store does not tell: one
// that a single process has open keeps no heartbeats.
func (c *Collection) mine(process string) {
	if process == "" {
		process = "this process"
	}
	c.Snapshot.Partitions = slices.Clone(c.Snapshot.Partitions) // sources keep their own
	for i := range c.Snapshot.Partitions {
		p := &c.Snapshot.Partitions[i]
		if p.Mine == nil {
			p.Mine = slices.Sorted(slices.Values(c.owned[p.Consumer]))
		}
		p.Owners = slices.Clone(p.Owners)
		for _, n := range p.Mine {
			if int(n) < len(p.Owners) && p.Owners[n] == "" {
				p.Owners[n] = process
			}
		}
	}
}

// Page is an http.Handler that serves the status of this process. All methods are safe
// for concurrent use. A Page starts no goroutine: each request is served on its own.
type Page struct {
	options Options
	token   string
	mux     http.Handler
	open    chan struct{} // one element for each open stream

	mu      sync.Mutex
	sources []Source
	trails  map[string]*trail
}

//go:embed assets
var embedded embed.FS

var layout = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"span":  func(s float64) string { return span(seconds(s)) },
	"ago":   func(at, now time.Time) string { return span(now.Sub(at)) + " ago" },
	"clock": clock,
	"count": func(n uint64) string { return count(float64(n)) },
	"arrow": arrow,
	"sign":  sign,
	"spark": sparkline,
	"cells": cells,
}).ParseFS(embedded, "assets/*.html"))

// New makes a page. Add consumers with [Page.Watch] and [Page.Add], and mount it under any
// path with http.StripPrefix.
func New(options Options) *Page {
	if options.Interval == 0 {
		options.Interval = 2 * time.Second
	}
	options.Interval = max(options.Interval, 500*time.Millisecond)
	if options.Streams <= 0 {
		options.Streams = 64
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	var secret [16]byte
	rand.Read(secret[:]) // never fails, see crypto/rand
	p := &Page{
		options: options,
		token:   hex.EncodeToString(secret[:]),
		open:    make(chan struct{}, options.Streams),
		trails:  make(map[string]*trail),
	}
	p.mux = p.routes()
	return p
}

// Add adds a source of facts, for consumers that are no subscription of this library and
// for what a store or a gateway knows.
func (p *Page) Add(s Source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sources = append(p.sources, s)
}

// Snapshot returns what the page shows at this moment. ctx bounds sources that ask a store.
func (p *Page) Snapshot(ctx context.Context) Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.options.Now()
	var c Collection
	for _, source := range p.sources {
		source.Collect(ctx, &c)
	}
	c.mine(p.options.Process)
	s := c.Snapshot
	s.At, s.Process = now.UTC(), p.options.Process
	s.Consumers = nil
	for i := range c.Facts {
		f := &c.Facts[i]
		t := p.trails[f.Name]
		if t == nil {
			t = &trail{}
			p.trails[f.Name] = t
		}
		t.add(now, f)
		s.Consumers = append(s.Consumers, describe(f, t, now))
	}
	slices.SortStableFunc(s.Consumers, worstFirst)
	for i := range s.Parked {
		s.Parked[i].Error = clean(s.Parked[i].Error)
	}
	slices.SortStableFunc(s.Parked, func(a, b Parked) int { return b.Since.Compare(a.Since) })
	if len(s.Parked) > mostParked {
		s.Parked = s.Parked[:mostParked]
	}
	s.Sentence = sentence(s.Consumers)
	if len(s.Consumers) == 0 && len(s.Streams) > 0 {
		s.Sentence = "No consumer is running in this process; " + streaming(s.Streams) + "."
	}
	for i := range s.Consumers {
		s.Level = max(s.Level, s.Consumers[i].Level)
	}
	return s
}

const mostParked = 100

// ServeHTTP serves the page and everything below it.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

func (p *Page) routes() http.Handler {
	assets, err := fs.Sub(embedded, "assets")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.serveHTML)
	mux.HandleFunc("GET /status.json", p.serveJSON)
	mux.HandleFunc("GET /events", p.serveEvents)
	mux.HandleFunc("GET /healthz", serveHealth)
	mux.HandleFunc("GET /readyz", p.serveReady)
	mux.Handle("GET /page.css", http.FileServerFS(assets))
	mux.Handle("GET /page.js", http.FileServerFS(assets))
	mux.HandleFunc("POST /actions/{action}", p.serveAction)
	return secured(http.NewCrossOriginProtection().Handler(mux))
}

// secured sets the headers that keep a page from being framed, sniffed, stored, or made
// to load anything from elsewhere.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// view is what the template sees.
type view struct {
	Snapshot
	Acts  bool
	Token string
}

func (p *Page) view(ctx context.Context) view {
	acts := p.acts()
	v := view{Snapshot: p.Snapshot(ctx), Acts: acts}
	if acts {
		v.Token = p.token
	}
	return v
}

func (p *Page) serveHTML(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := layout.ExecuteTemplate(w, "page.html", p.view(r.Context())); err != nil {
		p.options.Logger.Warn("status: a page was not written", "error", err)
	}
}

func (p *Page) serveJSON(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	if err := out.Encode(p.Snapshot(r.Context())); err != nil {
		p.options.Logger.Warn("status: a snapshot was not written", "error", err)
	}
}
