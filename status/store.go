package status

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
	"github.com/celeriant/celeriant-go/msg"
)

// storeEvery is how often a store is asked, however many pages are open; storePatience how
// long a page waits for its answer.
const (
	storeEvery    = 5 * time.Second
	storePatience = 2 * time.Second
)

// WatchStore shows what a checkpoint store knows of subscriptions, by name: parked aggregates,
// who owns which partitions, and who in this process waits for them (see package await). The store is asked once in five seconds at most, while a page
// is open; a store that does not answer leaves the last answer, with its age.
func (p *Page) WatchStore(store checkpoint.RecordStore, names ...string) {
	p.Add(&stored{store: store, names: names, now: p.options.Now})
}

type stored struct {
	store checkpoint.RecordStore
	names []string
	now   func() time.Time

	mu         sync.Mutex
	asked      time.Time
	parked     []Parked
	partitions []Partitions
}

func (s *stored) Collect(ctx context.Context, c *Collection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); now.Sub(s.asked) >= storeEvery {
		s.asked = now
		ctx, cancel := context.WithTimeout(ctx, storePatience)
		s.ask(ctx, now)
		cancel()
	}
	for _, w := range await.Waits(s.store) {
		if slices.Contains(s.names, w.Name) {
			c.Snapshot.Waits = append(c.Snapshot.Waits, Wait{Name: w.Name, Waiting: w.Waiters, Oldest: w.Oldest.UTC()})
		}
	}
	c.Snapshot.Parked = append(c.Snapshot.Parked, s.parked...)
	c.Snapshot.Partitions = append(c.Snapshot.Partitions, s.partitions...)
}

func (s *stored) ask(ctx context.Context, now time.Time) {
	var parked []Parked
	var partitions []Partitions
	for _, name := range s.names {
		control, _, err := checkpoint.LoadControl(ctx, s.store, name)
		if err != nil {
			return // the last answer stays, and shows its age
		}
		for i := range control.Parked {
			parked = append(parked, parkedOf(name, &control.Parked[i]))
		}
		progress, err := lease.ReadProgress(ctx, s.store, name)
		if err != nil {
			return
		}
		if progress.Definition.Generation != 0 {
			partitions = append(partitions, partitionsOf(name, now, &progress, control.Stopped))
		}
	}
	s.parked, s.partitions = parked, partitions
}

func parkedOf(name string, p *checkpoint.Parked) Parked {
	out := Parked{
		Consumer: name, Key: keyText(p.Key), Life: p.Life, Version: p.Version, Attempts: p.Attempts,
		Since: p.FirstFailure, Error: p.Error,
	}
	if p.Request != nil {
		out.Request = string(p.Request.Action)
	}
	return out
}

func partitionsOf(name string, now time.Time, p *lease.Progress, stopped []checkpoint.Stopped) Partitions {
	out := Partitions{Consumer: name, Read: now, Owners: make([]string, p.Definition.Count())}
	for _, m := range p.Members {
		label := m.Label
		if label == "" {
			label = m.ID
		}
		for _, n := range m.Holds {
			if int(n) < len(out.Owners) {
				out.Owners[n] = label
			}
		}
	}
	for i := range stopped {
		if out.Stopped == nil {
			out.Stopped = make(map[uint32]string)
		}
		out.Stopped[stopped[i].Partition] = stopped[i].Error
	}
	return out
}

// keyText is a key as the page's forms carry it.
func keyText(k msg.Key) string {
	return k.Org.String() + "/" + k.Type.String() + "/" + k.Aggregate.String()
}

// parseKey reads what keyText wrote.
func parseKey(text string) (msg.Key, error) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return msg.Key{}, fmt.Errorf("%q is no key", clean(text))
	}
	var ids [3]msg.ID
	for i, part := range parts {
		b, err := hex.DecodeString(strings.ReplaceAll(part, "-", ""))
		if err != nil || len(b) != len(ids[i]) {
			return msg.Key{}, fmt.Errorf("%q is no key", clean(text))
		}
		copy(ids[i][:], b)
	}
	return msg.Key{Org: ids[0], Type: ids[1], Aggregate: ids[2]}, nil
}

// StoreActions carries out the page's actions as requests in a checkpoint store; the owner of
// the aggregate obeys them at its next look.
func StoreActions(store checkpoint.RecordStore) Actions { return storeActions{store} }

type storeActions struct{ store checkpoint.RecordStore }

// Do implements Actions. The reason is stored as the name of who asks.
func (s storeActions) Do(ctx context.Context, a Action) error {
	by := checkpoint.ErrorText(fmt.Errorf("status page: %s", a.Reason))
	var keys []msg.Key
	if a.Key != "" {
		key, err := parseKey(a.Key)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	switch {
	case a.Name == "pause":
		return checkpoint.RequestPause(ctx, s.store, a.Consumer, by, keys...)
	case a.Name == "resume":
		return checkpoint.RequestResume(ctx, s.store, a.Consumer, keys...)
	case len(keys) == 0:
		return fmt.Errorf("%s needs an aggregate", a.Name)
	case a.Name == "redo":
		return checkpoint.RequestRedo(ctx, s.store, a.Consumer, keys[0], by)
	}
	action := checkpoint.ActionRelease
	if a.Name == "skip" {
		action = checkpoint.ActionSkip
	}
	seen := checkpoint.Parked{Key: keys[0], Life: a.Life, Version: a.Version, Attempts: a.Attempts}
	return checkpoint.RequestParked(ctx, s.store, a.Consumer, seen, action, by)
}
