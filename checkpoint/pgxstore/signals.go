package pgxstore

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/internal/sqlcore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/zeebo/xxh3"
)

const (
	// pace is the least time between two statements that notify.
	pace = 10 * time.Millisecond
	// repeat is how often those who wait say so again, and patience how long they
	// are believed.
	repeat   = 10 * time.Second
	patience = 3 * repeat
	// retry is the longest wait before another connection is tried.
	retry = 5 * time.Second
)

// signals passes signals between the stores of one database. A notification is
// "w", the sender's token and a name that somebody waits for, or "c", the token
// and a name of which changes were committed.
type signals struct {
	pool    *pgxpool.Pool
	token   checkpoint.Token
	channel string
	core    *sqlcore.Store
	stop    context.CancelFunc
	tasks   sync.WaitGroup
	// wake has room for one: there is something to send.
	wake chan struct{}

	mu sync.Mutex
	// own counts who waits here for each name, others holds until when a name is
	// waited for elsewhere.
	own     map[string]int
	others  map[string]time.Time
	pending map[string]bool // payloads to send
}

func newSignals(pool *pgxpool.Pool) *signals {
	return &signals{
		pool: pool, token: checkpoint.NewToken(), wake: make(chan struct{}, 1), stop: func() {},
		own: make(map[string]int), others: make(map[string]time.Time), pending: make(map[string]bool),
	}
}

// start begins to listen and to send.
func (s *signals) start(core *sqlcore.Store) {
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.core = core
	// The tables tell the stores that belong together.
	s.channel = fmt.Sprintf("celeriant_%016x", xxh3.HashString(core.Tables()))
	s.tasks.Go(func() { s.listen(ctx) })
	s.tasks.Go(func() { s.send(ctx) })
}

func (s *signals) close() {
	s.stop()
	s.tasks.Wait()
}

// committed is called after each commit of this store's.
func (s *signals) committed(name string) {
	s.mu.Lock()
	until, waited := s.others[name]
	if waited && time.Now().After(until) {
		delete(s.others, name)
		waited = false
	}
	s.mu.Unlock()
	if waited {
		s.queue("c", name)
	}
}

// wait says that somebody waits for a name, until ctx ends.
func (s *signals) wait(ctx context.Context, name string) {
	s.mu.Lock()
	s.own[name]++
	s.mu.Unlock()
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.own[name]--; s.own[name] == 0 {
			delete(s.own, name)
		}
	})
	s.queue("w", name)
}

// queue has a notification sent soon.
func (s *signals) queue(kind, name string) {
	if s.channel == "" {
		return
	}
	s.mu.Lock()
	s.pending[kind+s.token.String()+name] = true
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// send sends what is queued, all of it in one statement. A signal that cannot be
// sent is forgotten: those who wait look by themselves.
func (s *signals) send(ctx context.Context) {
	again := time.NewTicker(repeat)
	defer again.Stop()
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			s.mu.Lock()
			for name := range s.own {
				s.pending["w"+s.token.String()+name] = true
			}
			s.mu.Unlock()
		case <-s.wake:
		}
		if payloads := s.take(); len(payloads) > 0 {
			_, _ = s.pool.Exec(ctx, "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload", s.channel, payloads)
		}
		rest.Reset(pace)
		select {
		case <-ctx.Done():
			return
		case <-rest.C:
		}
	}
}

func (s *signals) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	payloads := make([]string, 0, len(s.pending))
	for p := range s.pending {
		payloads = append(payloads, p)
	}
	clear(s.pending)
	return payloads
}

// listen hears notifications on a connection of its own, and makes another one
// when that ends.
func (s *signals) listen(ctx context.Context) {
	wait := pace
	for ctx.Err() == nil {
		began := time.Now()
		s.hear(ctx)
		if time.Since(began) > retry {
			wait = pace
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		wait = min(2*wait, retry)
	}
}

// hear listens until the connection ends.
func (s *signals) hear(ctx context.Context) {
	c, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = c.Close(ctx)
	}()
	if _, err := c.Exec(ctx, "LISTEN "+s.channel); err != nil {
		return
	}
	s.missed()
	for {
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			return
		}
		s.heard(n.Payload)
	}
}

// missed wakes everybody who waits, since notifications may have been missed,
// and asks for them anew.
func (s *signals) missed() {
	s.mu.Lock()
	names := make([]string, 0, len(s.own))
	for name := range s.own {
		names = append(names, name)
	}
	s.mu.Unlock()
	for _, name := range names {
		s.core.Hub().Signal(name)
		s.queue("w", name)
	}
}

// heard takes a notification; those of this store are of no use to it.
func (s *signals) heard(payload string) {
	head := 1 + hex.EncodedLen(len(s.token))
	if len(payload) < head || strings.HasPrefix(payload[1:], s.token.String()) {
		return
	}
	switch kind, name := payload[0], payload[head:]; kind {
	case 'c':
		s.core.Hub().Signal(name)
	case 'w':
		s.mu.Lock()
		defer s.mu.Unlock()
		s.others[name] = time.Now().Add(patience)
	}
}
