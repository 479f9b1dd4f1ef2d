package stream

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
)

// Requests returns a channel that holds a token after somebody has asked for something
// in the records of the checkpoint, such as a pause, and has signalled that, see
// [checkpoint.Signal]: within one heartbeat of leases, or five seconds. The loop that
// receives it reads the records. The channel is nil if the checkpoint store keeps no records. The
// channel is never closed.
func (s *Subscription) Requests() <-chan struct{} {
	store, ok := s.opts.Store.(checkpoint.RecordStore)
	if !ok {
		return nil
	}
	s.requested.once.Do(func() {
		if s.member == nil {
			s.requested.watch = watchSignals(store, s)
		}
	})
	return s.requested.tokens
}

// requested is what a subscription knows of requests.
type requested struct {
	once   sync.Once
	tokens chan struct{} // holds one
	watch  *signalWatch
}

// signalled leaves a token for whoever heeds requests.
func (s *Subscription) signalled() {
	select {
	case s.requested.tokens <- struct{}{}:
	default:
	}
}

// leaveSignals ends the watch. Nothing of it is left when it returns.
func (s *Subscription) leaveSignals() {
	s.requested.once.Do(func() {})
	if w := s.requested.watch; w != nil {
		w.leave(s)
	}
}

// signalInterval is how often signals are read for subscriptions without leases.
const signalInterval = 5 * time.Second

// signalWatch reads the signals of one store, for all subscriptions of this process that
// have no leases: with those, heartbeats tell.
type signalWatch struct {
	store  checkpoint.RecordStore
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	// readers have the revision of the signal that each saw last, 0 for none yet.
	readers map[*Subscription]uint64
}

// signalWatches are those of this process. The lock guards the readers, too.
var signalWatches struct {
	mu  sync.Mutex
	all map[checkpoint.RecordStore]*signalWatch
}

func watchSignals(store checkpoint.RecordStore, s *Subscription) *signalWatch {
	if !reflect.TypeOf(store).Comparable() {
		return nil // requests are seen when the subscription is opened
	}
	signalWatches.mu.Lock()
	defer signalWatches.mu.Unlock()
	w := signalWatches.all[store]
	if w == nil {
		w = &signalWatch{store: store, readers: make(map[*Subscription]uint64)}
		w.ctx, w.cancel = context.WithCancel(context.Background())
		if signalWatches.all == nil {
			signalWatches.all = make(map[checkpoint.RecordStore]*signalWatch)
		}
		signalWatches.all[store] = w
		w.work.Go(w.run)
	}
	w.readers[s] = 0
	return w
}

// leave removes a reader. The watch ends with its last one.
func (w *signalWatch) leave(s *Subscription) {
	signalWatches.mu.Lock()
	delete(w.readers, s)
	last := len(w.readers) == 0 && signalWatches.all[w.store] == w
	if last {
		delete(signalWatches.all, w.store)
		w.cancel()
	}
	signalWatches.mu.Unlock()
	if last {
		w.work.Wait()
	}
}

func (w *signalWatch) run() {
	ticker := time.NewTicker(signalInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			w.look()
		case <-w.ctx.Done():
			return
		}
	}
}

// look tells the readers whose signals changed. A store that fails is asked again at the
// next look.
func (w *signalWatch) look() {
	ctx, cancel := context.WithTimeout(w.ctx, signalInterval)
	defer cancel()
	defer func() { _ = recover() }() // of the store: its owner hears of it elsewhere
	records, _, err := w.store.Records(ctx, "", checkpoint.SignalPrefix)
	if err != nil {
		return
	}
	revisions := make(map[string]uint64, len(records))
	for _, r := range records {
		revisions[r.Key] = r.Revision
	}
	for _, s := range w.changed(revisions) {
		// An owner that has nothing to save would hear of a cut-over behind its next
		// change only, and that change would be handled twice.
		cause := rebuild.Explain(ctx, w.store, s.opts.Name, checkpoint.ErrFenced)
		if errors.Is(cause, checkpoint.ErrSuperseded) {
			s.Fail(cause)
		}
		s.signalled()
	}
}

// changed returns the readers whose signals are not those that they saw last.
func (w *signalWatch) changed(revisions map[string]uint64) (readers []*Subscription) {
	signalWatches.mu.Lock()
	defer signalWatches.mu.Unlock()
	for s, seen := range w.readers {
		if now := revisions[checkpoint.SignalPrefix+s.opts.Name]; now != 0 && now != seen {
			w.readers[s] = now
			readers = append(readers, s)
		}
	}
	return readers
}

// Fenced reports a refusal that the checkpoint store gave to a transaction of the
// caller's own: the partition that it names is lost then. Other errors are ignored.
func (s *Subscription) Fenced(refusal error) {
	if s.member != nil {
		s.member.fenced(refusal)
	}
}
