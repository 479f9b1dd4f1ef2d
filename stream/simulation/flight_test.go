package simulation_test

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// flight is a question that several ask in one instant. A flight is nobody's
// own: it goes on as long as somebody waits.
type flight struct {
	key    string
	askers []chan struct{} // each closed when its asker may go on
	cancel context.CancelFunc
	answer string
	err    error
}

// whoLeads is the one question that does not say what it is asked for.
const whoLeads = "leader"

func (u *unhurried) jointly(ctx context.Context, what string, ask func(context.Context) (string, error)) (string, error) {
	f, answered := u.board(ctx, what, ask)
	select {
	case <-answered:
	case <-ctx.Done():
		if ctx.Err() == context.DeadlineExceeded {
			<-answered // the flight's deadline is the same, nearly
		}
	}
	if u.leave(f, answered); ctx.Err() == context.Canceled {
		return "", errGivenUp
	}
	u.sim.log.add(u.who, "%s: %s, %v", what, f.answer, f.err)
	return f.answer, f.err
}

// board joins the flight of the present instant, or begins it.
func (u *unhurried) board(ctx context.Context, what string, ask func(context.Context) (string, error)) (*flight, chan struct{}) {
	key := fmt.Sprint(what, time.Now().UnixNano())
	answered := make(chan struct{})
	u.mu.Lock()
	defer u.mu.Unlock()
	f := u.flights[key]
	if f == nil {
		f = &flight{key: key}
		u.flights[key] = f
		alone := context.WithoutCancel(ctx)
		if at, ok := ctx.Deadline(); ok {
			// At an instant of its own: others who asked for something else have the same.
			at = at.Add(u.sim.when.delay(time.Microsecond, 40*time.Microsecond, key, u.who))
			alone, f.cancel = context.WithDeadline(alone, at)
		} else {
			alone, f.cancel = context.WithCancel(alone)
		}
		go u.fly(alone, f, what, ask)
	}
	f.askers = append(f.askers, answered)
	return f, answered
}

func (u *unhurried) leave(f *flight, asker chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f.askers = slices.DeleteFunc(f.askers, func(a chan struct{}) bool { return a == asker })
	switch landed := u.flights[f.key] != f; {
	case len(f.askers) > 0 || landed:
	case u.who != sharer:
		u.land(f)
		f.cancel()
	default:
		u.land(f)
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

func (u *unhurried) fly(ctx context.Context, f *flight, what string, ask func(context.Context) (string, error)) {
	defer f.cancel()
	f.answer, f.err = ask(ctx)
	u.mu.Lock()
	u.land(f)
	askers := slices.Clone(f.askers)
	u.mu.Unlock()
	if guess := u.sim.nodes[0].Addr(); f.err != nil && len(askers) > 1 && what == whoLeads {
		// The askers would try again one before the other, in an order that the seed does
		// not fix. So each goes on at a node that may not lead, and fails by itself.
		f.answer, f.err = guess, nil
	}
	for _, asker := range askers {
		close(asker)
	}
}

// oneByOne lets one question after the other find out who leads: those that
// wait for one search together go on together, and draw by chance when to search
// again.
func (u *unhurried) oneByOne(ctx context.Context, what string) (string, error) {
	if u.asking == nil {
		return u.Source.Leader(ctx)
	}
	select {
	case u.asking <- struct{}{}:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	defer func() { <-u.asking }()
	// Not in the instant in which the one before goes on.
	if err := u.nap(ctx, what, "its turn"); err != nil {
		return "", err
	}
	return u.Source.Leader(ctx)
}

// led waits until somebody leads, for as long as subscriptions do.
func (u *unhurried) led(ctx context.Context, what string) error {
	if u.asking == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second+u.sim.when.delay(time.Microsecond, time.Millisecond, what, u.who))
	defer cancel()
	_, err := u.oneByOne(ctx, what)
	if err := u.nap(ctx, what, "led"); err != nil {
		return err
	}
	return err
}
