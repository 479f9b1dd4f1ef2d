package stream

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// moody is a store that does as it is told.
type moody struct {
	checkpoint.Store
	load, save atomic.Pointer[func() error]
}

func (m *moody) Load(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	if f := m.load.Load(); f != nil {
		if err := (*f)(); err != nil {
			return nil, err
		}
	}
	return m.Store.Load(ctx, name, keys)
}

func (m *moody) Save(ctx context.Context, o checkpoint.Owner, e []checkpoint.Entry) error {
	if f := m.save.Load(); f != nil {
		if err := (*f)(); err != nil {
			return err
		}
	}
	return m.Store.Save(ctx, o, e)
}

func fails(err error) *func() error {
	f := func() error { return err }
	return &f
}

// A look-up or save that fails, panics or ends its goroutine is retried, and seen at
// once in State, Stats, OnState and hooks, with its cause, until it works again.
//
//covers:g22
func TestStoreTroubleIsSeen(t *testing.T) {
	denied := errors.New("permission denied")
	panics := func() error { panic(denied) }
	exits := func() error { runtime.Goexit(); return nil }
	for name, c := range map[string]struct {
		trouble *func() error
		cause   error
	}{"an error": {fails(denied), denied}, "a panic": {&panics, denied}, "Goexit": {&exits, errExited}} {
		store := &moody{Store: checkpoint.NewMemory()}
		var told []string
		o := Options{Store: store, Probe: -1, Hooks: Hooks{
			Retrying:  func(r Retrying) { told = append(told, "retrying "+r.What) },
			Recovered: func(r Retrying) { told = append(told, "recovered "+r.What) },
		}}
		onStage(t, o, func(t *testing.T, src *stage, s *Subscription) {
			store.load.Store(c.trouble)
			w := <-src.watches
			w.hints <- []msg.Notification{{Key: numbered(1), Operation: msg.OpWrite, From: msg.Some(uint64(1)), To: msg.Some(uint64(1))}}
			time.Sleep(time.Second)
			synctest.Wait()
			state, stats := s.State(), s.Stats()
			if !errors.Is(state.Cause, c.cause) || len(state.Retrying) != 1 || len(stats.Retrying) != 1 {
				t.Fatalf("%s: %+v, %+v", name, state, stats.Retrying)
			}
			r := stats.Retrying[0]
			if r.What != WhatStore || r.Attempts < 2 || !errors.Is(r.Err, c.cause) || time.Since(r.Since) < time.Second/2 {
				t.Errorf("%s: %+v", name, r)
			}
			store.load.Store(nil)
			time.Sleep(time.Minute)
			synctest.Wait()
			if state := s.State(); state.Cause != nil || state.Retrying != nil {
				t.Errorf("%s: after it: %+v", name, state)
			}
			if len(told) < 2 || told[0] != "retrying store" || told[len(told)-1] != "recovered store" {
				t.Errorf("%s: told %q", name, told)
			}
		})
	}
}

// The consumer's reports are part of the same health, and stays as it was when the
// subscription ends.
func TestReportedRetries(t *testing.T) {
	onStage(t, Options{Probe: -1}, func(t *testing.T, _ *stage, s *Subscription) {
		next := time.Now().Add(time.Minute)
		s.ReportRetry(WhatHandler, errEnough, next)
		s.ReportRetry(WhatHandler, errEnough, next)
		s.ReportRetry(WhatDatabase, errEnough, time.Time{})
		s.ReportRecovered(WhatDatabase)
		s.ReportRecovered(WhatClient)
		want := Retrying{What: WhatHandler, Since: time.Now(), Err: errEnough, Attempts: 2, Next: next}
		if got := s.Stats().Retrying; len(got) != 1 || got[0] != want {
			t.Errorf("retrying %+v", got)
		}
		s.Fail(nil)
		<-s.Done()
		if stats := s.Stats(); len(stats.Retrying) != 1 || stats.Cause != ErrClosed || stats.State.Cause != ErrClosed {
			t.Errorf("after the end: %+v", stats)
		}
	})
}

// One subject's success does not hide another's failure; the number of subjects is
// bounded, and one that is heard of no more counts for a minute.
func TestHealthTellsSubjectsApart(t *testing.T) {
	var h health
	now := time.Now()
	h.failed(now, WhatNode, 1, errEnough, time.Time{})
	for n := range 1000 {
		h.failed(now.Add(time.Second), WhatNode, n, errEnough, time.Time{})
	}
	if n := len(h.troubles[WhatNode].subjects); n != maxSubjects {
		t.Errorf("%d subjects are held", n)
	}
	if _, ended, _ := h.succeeded(now.Add(time.Second), WhatNode, 2); ended || len(h.retrying()) != 1 {
		t.Error("the success of one ended the trouble of all")
	}
	if r, ended, _ := h.succeeded(now.Add(time.Hour), WhatNode, 2); !ended || r.Attempts != 1001 || h.retrying() != nil {
		t.Errorf("after an hour: %+v, %v", r, ended)
	}
}

// A failure that comes and goes has two lines of its begin and two of its end in half a
// minute; the next line tells how often it began without one.
func TestFailuresThatComeAndGoAreSampled(t *testing.T) {
	var h health
	now, begins, ends, untold := time.Now(), 0, 0, 0
	for range 60 { // seconds
		if _, began, log := h.failed(now, WhatNode, 1, errEnough, time.Time{}); !began {
			t.Fatal("not told as a failure of its own")
		} else if log.due {
			begins, untold = begins+1, untold+log.untold
		}
		_, ended, told := h.succeeded(now.Add(time.Second/2), WhatNode, 1)
		if !ended {
			t.Fatal("not told as ended")
		}
		if told {
			ends++
		}
		now = now.Add(time.Second)
	}
	if begins != 2*maxLogged || ends != begins || untold != 30-maxLogged {
		t.Errorf("%d lines of begins, %d of ends, %d begins named: want %d, %d and %d", begins, ends, untold, 2*maxLogged, 2*maxLogged, 30-maxLogged)
	}
}

// A failure that begins without a line and lasts has its line in time.
func TestAFailureThatLastsIsLoggedAfterOthersThatDidNot(t *testing.T) {
	var h health
	now := time.Now()
	for range maxLogged {
		h.failed(now, WhatNode, 1, errEnough, time.Time{})
		h.succeeded(now, WhatNode, 1)
	}
	for second := range 31 {
		_, _, log := h.failed(now.Add(time.Duration(second)*time.Second), WhatNode, 1, errEnough, time.Time{})
		if log.due != (second == 30) {
			t.Errorf("after %d s: line %v", second, log.due)
		}
	}
	if _, ended, told := h.succeeded(now.Add(time.Minute), WhatNode, 1); !ended || !told {
		t.Error("its end has no line")
	}
}

// The words that a consumer reports under are bounded.
func TestWordsOfFailuresAreBounded(t *testing.T) {
	var h health
	for n := range 10 * maxSubjects {
		word := "word " + strconv.Itoa(n)
		h.failed(time.Now(), word, word, errEnough, time.Time{})
		h.succeeded(time.Now(), word, word)
	}
	if n := len(h.logged); n > maxSubjects {
		t.Errorf("%d words are held", n)
	}
}

// An observer that panics, ends its goroutine or takes its time stops nothing; too much
// for it to be told is dropped.
func TestCallbackQueueSurvivesItsObservers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		callbacks := newCallbackQueue(slog.New(slog.DiscardHandler))
		var told []int
		gate := make(chan struct{})
		callbacks.add(func() { panic("mine") })
		callbacks.add(runtime.Goexit)
		callbacks.add(func() { <-gate })
		for n := range maxCallbacks + 10 {
			callbacks.add(func() { told = append(told, n) })
		}
		callbacks.addLast(func() { told = append(told, -1) })
		callbacks.add(func() { t.Error("told after the last") })
		close(gate)
		<-callbacks.done
		if n := len(told); n < maxCallbacks-3 || n > maxCallbacks+1 || told[n-1] != -1 || told[0] != 0 {
			t.Errorf("told %d, the last %d", len(told), told[len(told)-1])
		}
	})
}

// Names by default: the text of the scope while it is short enough for a name.
func TestDefaultNames(t *testing.T) {
	seen := make(map[string]bool)
	for n := 1; n < 40; n++ {
		var keys []msg.Key
		for i := range n {
			keys = append(keys, msg.Key{Org: msg.IDFromUint64s(1<<63, 1), Type: msg.IDFromUint64s(1<<63, 2), Aggregate: msg.IDFromUint64s(1<<63, uint64(i))})
		}
		for _, r := range []HashRange{{}, HashShare(1, 2)} {
			o, err := Options{Range: r}.withDefaults(Aggregates(keys...))
			if err != nil || len(o.Name) > checkpoint.MaxName || seen[o.Name] {
				t.Errorf("%d members: %q, %v", n, o.Name, err)
			}
			seen[o.Name] = true
			if text := o.text(Aggregates(keys...)); len(text) <= checkpoint.MaxName != (o.Name == text) || strings.Contains(o.Name, "hashes") == r.Whole() {
				t.Errorf("%d members: %q", n, o.Name)
			}
		}
	}
}

// Versions that are known of count as unhandled until it is committed, and tells since when;
// Healthy follows it, and the end.
//
//covers:g22
func TestHealthIsMeasuredAtTheCommit(t *testing.T) {
	store := &moody{Store: checkpoint.NewMemory()}
	onStage(t, Options{Store: store, Probe: -1}, func(t *testing.T, src *stage, s *Subscription) {
		if err := s.Healthy(0); err != nil || s.Stats().Unhandled != 0 {
			t.Fatalf("at rest: %v, %+v", err, s.Stats())
		}
		written := time.Now()
		src.written.Store(written.UnixMilli())
		w := <-src.watches
		w.hints <- []msg.Notification{{Key: numbered(1), Operation: msg.OpWrite, From: msg.Some(uint64(1)), To: msg.Some(uint64(1))}}
		synctest.Wait()
		time.Sleep(time.Minute)
		for range 2 { // while it waits, and while it is being handled
			stats := s.Stats()
			if stats.Unhandled != 1 || !stats.OldestPending.Equal(written.Truncate(time.Millisecond)) {
				t.Errorf("%d unhandled since %v, want %v", stats.Unhandled, stats.OldestPending, written)
			}
			if s.Healthy(59*time.Second) == nil || s.Healthy(2*time.Minute) != nil {
				t.Errorf("healthy: %v, %v", s.Healthy(59*time.Second), s.Healthy(2*time.Minute))
			}
			if stats.Waiting == 1 {
				changes, err := s.Next(t.Context())
				if err != nil || changes[0].Kind != Batch || changes[0].Previous != (checkpoint.Cursor{}) || changes[0].Owner != s.Owner() {
					t.Fatalf("%+v, %v", changes, err)
				}
				defer func() {
					if err := s.Commit(context.Background(), Entries(changes)); err != nil || s.Stats().Unhandled != 0 {
						t.Errorf("after the commit: %v, %+v", err, s.Stats())
					}
					s.Fail(errEnough)
					if err := s.Healthy(time.Hour); !errors.Is(err, errEnough) {
						t.Errorf("after the end: %v", err)
					}
				}()
			}
		}
	})
	onStage(t, Options{Probe: -1}, func(t *testing.T, _ *stage, s *Subscription) {
		s.ReportRetry(WhatDatabase, errEnough, time.Time{})
		time.Sleep(time.Minute)
		if err := s.Healthy(time.Second); !errors.Is(err, errEnough) || !strings.Contains(err.Error(), WhatDatabase) {
			t.Errorf("while the database is away: %v", err)
		}
	})
}

// An aggregate that is held until its next attempt goes on to count as unhandled, and to be a
// reason not to be healthy; one that is parked counts as such.
//
//covers:g22
func TestHeldAggregatesAreUnhandled(t *testing.T) {
	onStage(t, Options{Probe: -1}, func(t *testing.T, src *stage, s *Subscription) {
		written := time.Now()
		src.written.Store(written.UnixMilli())
		w := <-src.watches
		w.hints <- []msg.Notification{{Key: numbered(1), Operation: msg.OpWrite, From: msg.Some(uint64(1)), To: msg.Some(uint64(1))}}
		if changes, err := s.Next(t.Context()); err != nil || len(changes) != 1 {
			t.Fatalf("%v, %v", changes, err)
		}
		s.Hold(numbered(1))
		time.Sleep(time.Minute)
		if stats := s.Stats(); stats.Unhandled != 1 || !stats.OldestPending.Equal(written.Truncate(time.Millisecond)) || s.Healthy(time.Second) == nil {
			t.Errorf("held: %d unhandled since %v, healthy %v", stats.Unhandled, stats.OldestPending, s.Healthy(time.Second))
		}
		s.ReportParked([]msg.Key{numbered(1)})
		if stats := s.Stats(); stats.Unhandled != 0 || stats.Parked != 1 || s.Healthy(time.Second) != nil {
			t.Errorf("parked: %d unhandled, %d parked, healthy %v", stats.Unhandled, stats.Parked, s.Healthy(time.Second))
		}
	})
}

// The hook hears which cursors are stored, by anybody, and the numbers tell when; what the
// consumer has set aside is counted apart from what cannot be read.
func TestCommitsAndParkedAreTold(t *testing.T) {
	store := &moody{Store: checkpoint.NewMemory()}
	var told []checkpoint.Entry
	o := Options{Store: store, Probe: -1, Hooks: Hooks{Committed: func(e []checkpoint.Entry) { told = append(told, e...) }}}
	onStage(t, o, func(t *testing.T, _ *stage, s *Subscription) {
		if at := s.Stats().LastCommit; !at.IsZero() {
			t.Errorf("the last commit was at %v before the first", at)
		}
		first := []checkpoint.Entry{{Key: numbered(1), Cursor: checkpoint.Cursor{Version: 1, Anchor: checkpoint.Anchor{ServerTimestamp: 5}}}}
		store.save.Store(fails(checkpoint.ErrFailed))
		s.Committed(first)
		if at := s.Stats().LastCommit; len(told) != 1 || told[0] != first[0] || !at.Equal(time.Now()) {
			t.Errorf("told %+v, the last commit at %v", told, at)
		}
		s.ReportParked([]msg.Key{numbered(1), numbered(2)})
		if stats := s.Stats(); stats.Parked != 2 || stats.Unreadable != 0 || stats.OfPartitions != 0 {
			t.Errorf("%+v", stats)
		}
		s.ReportParked(nil)
		if n := s.Stats().Parked; n != 0 {
			t.Errorf("%d parked", n)
		}
		if err := s.Commit(context.Background(), first); err == nil || len(told) != 1 {
			t.Errorf("a refused commit: %v, told %+v", err, told)
		}
	})
}

// Every hook of both is called, in order; one that is missing costs no call.
func TestHooksAreJoined(t *testing.T) {
	count := func(calls *int) (h Hooks) {
		value := reflect.ValueOf(&h).Elem()
		for i := range value.NumField() {
			value.Field(i).Set(reflect.MakeFunc(value.Field(i).Type(), func([]reflect.Value) []reflect.Value { *calls++; return nil }))
		}
		return h
	}
	var first, next int
	for _, joined := range []Hooks{count(&first).And(count(&next)), count(&first).And(Hooks{}), Hooks{}.And(count(&next))} {
		value := reflect.ValueOf(joined)
		for i := range value.NumField() {
			value.Field(i).Call([]reflect.Value{reflect.Zero(value.Field(i).Type().In(0))})
		}
	}
	if want := 2 * reflect.TypeFor[Hooks]().NumField(); first != want || next != want {
		t.Errorf("%d and %d calls, want %d each", first, next, want)
	}
	if joined := (Hooks{}).And(Hooks{}); !reflect.ValueOf(joined).IsZero() {
		t.Error("hooks out of nothing")
	}
}
