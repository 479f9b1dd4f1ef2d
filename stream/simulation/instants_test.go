package simulation_test

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"
)

// instants gives every goroutine that waits an instant of its own to go on at. Goroutines
// that begin to wait in one instant do so in any order, and their instants must not depend
// on that order.
type instants struct {
	seed uint64
	log  *recorder

	mu    sync.Mutex
	taken map[int64]int64 // the instant it was booked in, by the instant that is booked
	now   int64
	begun []*booking // now
}

// booking is somebody who waits.
type booking struct {
	who   string
	want  int64
	at    int64
	timer *time.Timer
}

func newInstants(seed uint64, log *recorder) *instants {
	return &instants{seed: seed, log: log, taken: make(map[int64]int64)}
}

// book sets a timer that fires after about d, when no other one does.
func (w *instants) book(d time.Duration, who string) *booking {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now().UnixNano(); now != w.now {
		w.now, w.begun = now, nil
	}
	b := &booking{who: who, want: w.now + int64(max(d, 1))}
	w.begun = append(w.begun, b)
	clash := w.claim(b)
	b.timer = time.NewTimer(b.wait(w.now))
	if clash {
		w.again()
	}
	return b
}

// cancel gives a booking back, as if it had not been made if that is now.
func (w *instants) cancel(b *booking) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b.timer.Stop()
	if time.Now().UnixNano() != w.now {
		return
	}
	if i := slices.Index(w.begun, b); i >= 0 {
		w.begun = slices.Delete(w.begun, i, i+1)
		delete(w.taken, b.at)
		w.again()
	}
}

func (b *booking) wait(now int64) time.Duration { return time.Duration(b.at - now) }

// claim takes the first free instant; it reports whether one was passed over that
// somebody has who began to wait in the present one.
func (w *instants) claim(b *booking) (clash bool) {
	for b.at = b.want; ; b.at++ {
		since, taken := w.taken[b.at]
		if !taken {
			w.taken[b.at] = w.now
			return clash
		}
		clash = clash || since == w.now
	}
}

// again gives out the instants to those who began to wait in the present one, in
// an order that does not depend on who came first.
func (w *instants) again() {
	for _, b := range w.begun {
		delete(w.taken, b.at)
	}
	slices.SortStableFunc(w.begun, func(a, b *booking) int {
		return cmp.Or(cmp.Compare(a.want, b.want), strings.Compare(a.who, b.who))
	})
	for _, b := range w.begun {
		before := b.at
		if w.claim(b); b.at != before {
			b.timer.Reset(b.wait(w.now))
		}
	}
}

// delay is a time that follows from the seed, the present instant and what
// happens, so that it does not matter in which order things happen that begin in
// one instant.
func (w *instants) delay(least, spread time.Duration, what ...any) time.Duration {
	return least + time.Duration(w.hash(what...)%uint64(spread))
}

// hash is a number that follows from the seed, the present instant and what happens.
func (w *instants) hash(what ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, w.seed, time.Now().UnixNano())
	fmt.Fprintln(h, what...)
	return h.Sum64()
}

// nap waits for about d, or until ctx ends.
func (w *instants) nap(ctx context.Context, d time.Duration, who string) error {
	b := w.book(d, who)
	select {
	case <-b.timer.C:
		w.log.woken(b.who)
		return nil
	case <-ctx.Done():
		w.cancel(b)
		return context.Cause(ctx)
	}
}

// doze is nap for a time that follows from what happens, see delay.
func (w *instants) doze(ctx context.Context, least, spread time.Duration, what ...any) error {
	return w.nap(ctx, w.delay(least, spread, what...), fmt.Sprintln(what...))
}

func (w *instants) sleep(d time.Duration, who string) { _ = w.nap(context.Background(), d, who) }
