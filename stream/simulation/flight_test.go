package simulation_test

import (
	"context"
	"fmt"
	"time"
)

// flight is a question that several ask in one instant. It is nobody's own: it
// goes on as long as somebody waits.
type flight struct {
	key     string
	done    chan struct{}
	waiting int
	cancel  context.CancelFunc
	answer  string
	err     error
}

func (u *unhurried) jointly(ctx context.Context, what string, ask func(context.Context) (string, error)) (string, error) {
	f := u.board(ctx, what, ask)
	select {
	case <-f.done:
	case <-ctx.Done():
		if ctx.Err() == context.DeadlineExceeded {
			<-f.done // whose deadline is the same, nearly
		}
	}
	if u.leave(f); ctx.Err() == context.Canceled {
		return "", errGivenUp
	}
	u.sim.log.add(u.who, "%s: %s, %v", what, f.answer, f.err)
	return f.answer, f.err
}

// board joins the flight of the present instant, or begins it.
func (u *unhurried) board(ctx context.Context, what string, ask func(context.Context) (string, error)) *flight {
	key := fmt.Sprint(what, time.Now().UnixNano())
	u.mu.Lock()
	defer u.mu.Unlock()
	f := u.flights[key]
	if f == nil {
		f = &flight{key: key, done: make(chan struct{})}
		u.flights[key] = f
		alone := context.WithoutCancel(ctx)
		if at, ok := ctx.Deadline(); ok {
			// At an instant of its own: others who asked for something else have the same.
			at = at.Add(u.sim.when.delay(time.Microsecond, 40*time.Microsecond, key, u.who))
			alone, f.cancel = context.WithDeadline(alone, at)
		} else {
			alone, f.cancel = context.WithCancel(alone)
		}
		go u.fly(alone, f, ask)
	}
	f.waiting++
	return f
}

func (u *unhurried) leave(f *flight) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if f.waiting--; f.waiting == 0 {
		u.land(f)
		if u.who != sharer {
			f.cancel()
			return
		}
		go func() { // see lasting
			_ = u.nap(context.Background(), f.key, "given up")
			f.cancel()
		}()
	}
}

// land lets nobody join a flight any more. The caller holds the lock.
func (u *unhurried) land(f *flight) {
	if u.flights[f.key] == f {
		delete(u.flights, f.key)
	}
}

func (u *unhurried) fly(ctx context.Context, f *flight, ask func(context.Context) (string, error)) {
	f.answer, f.err = ask(ctx)
	u.mu.Lock()
	u.land(f)
	u.mu.Unlock()
	close(f.done)
}
