package pool

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Sounding a node leaves it alone while there is a connection, else tells what
// became of the one dial it takes, or that it takes long; that goes on.
func TestSounding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int32
		answer := func(context.Context) error { return errRefused }
		n := dialledBy(t, func(ctx context.Context, _, _ string) (net.Conn, error) {
			dials.Add(1)
			if err := answer(ctx); err != nil {
				return nil, err
			}
			client, server := net.Pipe()
			t.Cleanup(func() { server.Close() })
			return client, nil
		})
		sound := func() (time.Duration, error) {
			began := time.Now()
			err := n.sound(context.Background())
			return time.Since(began), err
		}
		if took, err := sound(); !errors.Is(err, errRefused) || took != 0 || dials.Load() != 1 || n.snapshot().Slots != 0 {
			t.Errorf("refused: after %v and %d dials: %v", took, dials.Load(), err)
		}
		late := make(chan struct{})
		answer = func(context.Context) error { <-late; return nil }
		for range 3 {
			if took, err := sound(); !errors.Is(err, ErrConnect) || took != soundingPatience || dials.Load() != 2 {
				t.Errorf("late: after %v and %d dials: %v", took, dials.Load(), err)
			}
		}
		over, leave := context.WithCancel(context.Background())
		leave()
		if err := n.sound(over); !errors.Is(err, context.Canceled) {
			t.Errorf("left: %v", err)
		}
		close(late)
		synctest.Wait()
		for range 2 {
			if took, err := sound(); err != nil || took != 0 || dials.Load() != 2 {
				t.Errorf("connected: after %v and %d dials: %v", took, dials.Load(), err)
			}
		}
		var leased []*conn
		for range n.opts.MaxConnections {
			c, err := n.acquire(context.Background(), false)
			if err != nil {
				t.Fatal(err)
			}
			leased = append(leased, c)
		}
		if took, err := sound(); err != nil || took != 0 { // whoever asks waits in line
			t.Errorf("at the ceiling: after %v: %v", took, err)
		}
		for _, c := range leased {
			n.release(c)
		}
	})
}
