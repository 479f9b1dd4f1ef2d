package gateway

import (
	"sync"
	"time"
)

// budgets bounds, for each caller, how many stored positions that turn out not to
// match are followed up: each costs reads at the node.
type budgets struct {
	rate int

	mu      sync.Mutex
	callers map[string]*budget
}

// budget is a token bucket.
type budget struct {
	tokens float64
	at     time.Time
}

func newBudgets(rate int) *budgets { return &budgets{rate: rate, callers: make(map[string]*budget)} }

// take takes one token and returns how long the caller must wait first.
func (b *budgets) take(caller string, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	burst := float64(10 * b.rate)
	if len(b.callers) > 10_000 {
		for name, other := range b.callers {
			if now.Sub(other.at).Seconds()*float64(b.rate)+other.tokens >= burst {
				delete(b.callers, name)
			}
		}
	}
	t := b.callers[caller]
	if t == nil {
		t = &budget{tokens: burst, at: now}
		b.callers[caller] = t
	}
	t.tokens = min(burst, t.tokens+now.Sub(t.at).Seconds()*float64(b.rate))
	t.at = now
	t.tokens--
	if t.tokens >= 0 {
		return 0
	}
	return time.Duration(-t.tokens / float64(b.rate) * float64(time.Second))
}
