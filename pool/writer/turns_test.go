package writer_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/pool/writer"
)

// The end of the context ends the tries, and the error knows what is open.
func TestCommandEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, open := range []bool{false, true} {
			m := newModel()
			m.append(other, 1)
			bounded, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			m.beforeWrite = func(*msg.WriteRequest) error {
				if open {
					return lost()
				}
				return refusal(msg.CodeServerBusy, "{}")
			}
			w, err := writer.New(m, writer.Options{ClientID: me})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_, err = w.Append(bounded, order, []msg.Event{{Major: 1}})
			if !errors.Is(err, context.DeadlineExceeded) || msg.Ambiguous(err) != open || time.Since(start) != 50*time.Millisecond || len(m.writes) != 1 {
				t.Errorf("open %v: %v after %v", open, err, time.Since(start))
			}
			cancel()
		}
	})
}

// The waits double up to a minute, with up to half a pause on top.
func TestPauses(t *testing.T) {
	for pause, waits := range map[time.Duration][]time.Duration{
		0:                {100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond},
		25 * time.Second: {25 * time.Second, 50 * time.Second, time.Minute, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newModel()
			var at []time.Time
			m.beforeWrite = func(*msg.WriteRequest) error { at = append(at, time.Now()); return lost() }
			w, err := writer.New(m, writer.Options{ClientID: me, Tries: len(waits) + 1, Pause: pause})
			if err != nil {
				t.Fatal(err)
			}
			w.Append(ctx, order, []msg.Event{{Major: 1}})
			for i, base := range waits {
				if wait := at[i+1].Sub(at[i]); wait < base || wait > base+waits[0]/2 {
					t.Errorf("pause %d took %v", i+1, wait)
				}
			}
		})
	}
}

// Commands on one aggregate go one by one; others pass beside them.
func TestCommandsOfAnAggregateTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriter(t, newModel(), nil)
		inside, leave := make(chan struct{}), make(chan struct{})
		hang := writer.Decision[tally]{Decide: func(tally, uint64) ([]msg.Event, error) {
			close(inside)
			<-leave
			return nil, nil
		}}
		none := writer.Decision[tally]{Decide: func(tally, uint64) ([]msg.Event, error) { return nil, nil }}
		go writer.Execute(ctx, w, order, hang)
		<-inside
		if _, err := writer.Execute(ctx, w, writer.Command{Key: keyOf(99), ID: order.ID}, none); err != nil {
			t.Error(err)
		}
		bounded, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := writer.Execute(bounded, w, order, none); !errors.Is(err, context.DeadlineExceeded) || msg.Ambiguous(err) {
			t.Error(err)
		}
		done := make(chan error)
		go func() { _, err := writer.Execute(ctx, w, order, none); done <- err }()
		synctest.Wait()
		select {
		case <-done:
			t.Error("did not wait for its turn")
		default:
		}
		close(leave)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestWriterOptions(t *testing.T) {
	for option, o := range map[string]writer.Options{
		"ClientID": {}, "Tries": {ClientID: me, Tries: 101}, "Pause": {ClientID: me, Pause: math.MaxInt64},
	} {
		var refused *pool.OptionError
		if _, err := writer.New(newModel(), o); !errors.As(err, &refused) || refused.Option != option {
			t.Errorf("%s: %v", option, err)
		}
	}
	for _, o := range []writer.Options{{ClientID: me, Tries: -1}, {ClientID: me, Pause: -1}} {
		if _, err := writer.New(newModel(), o); err == nil {
			t.Errorf("accepted %+v", o)
		}
	}
}
