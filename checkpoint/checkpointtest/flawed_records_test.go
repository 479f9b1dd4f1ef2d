package checkpointtest_test

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

func (s *flawed) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name != "" || s.closed || ctx.Err() != nil {
		if err := s.begin(ctx, name); err != nil && name != "" {
			return err
		}
	}
	err := s.apply(name, m)
	if m.Exclusive || len(m.Records) > 0 {
		s.luck.turn(&s.luck.acquired)
	}
	return err
}

// apply is a plain Apply with the faults that concern records.
func (s *flawed) apply(name string, m checkpoint.Mutation) error {
	if err := m.Check(name); err != nil && !s.has("bad mutations accepted") {
		return err
	}
	n := s.recordsName(name)
	u := s.subs[n]
	if u.records == nil {
		u.cursors, u.records = map[msg.Key]checkpoint.Cursor{}, map[string][]byte{}
		if name == "" {
			s.subs[n] = u
		}
	}
	stored := checkpoint.Stored{
		Ownership:  checkpoint.Ownership{Epoch: u.epoch, Token: u.token, Claimed: u.claimed, Scope: u.scope},
		Partitions: make([][]byte, len(m.Owners)),
		Cursors:    s.stored(u, m.Entries),
		Records:    make([][]byte, len(m.Records)),
	}
	if s.has("records of nobody accepted") {
		stored.Ownership.Claimed = true
		s.subs[n] = u
	}
	if s.has("leases unfenced") {
		m.Owners = slices.DeleteFunc(slices.Clone(m.Owners), func(o checkpoint.Owner) bool { return o.Leased || len(m.Owners) > 1 })
		stored.Ownership.Claimed = true
	}
	for i, o := range m.Owners {
		stored.Partitions[i] = u.records[checkpoint.PartitionKey(o.Partition)]
	}
	m.Records = slices.Clone(m.Records)
	for i := range m.Records {
		c := &m.Records[i]
		stored.Records[i] = u.records[c.Key]
		if s.has("revisions not compared") && !c.Check {
			c.Any, c.Revision = true, 0
		}
	}
	if m.Limit != nil && !s.has("limits not heeded") {
		for key := range u.records {
			if strings.HasPrefix(key, m.Limit.Prefix) {
				stored.Limited++
			}
		}
	}
	if s.has("limits not heeded") {
		m.Limit = nil
	}
	out, err := m.Decide(name, stored)
	if err != nil && s.has("records written before cursors are judged") {
		s.write(u, checkpoint.Outcome{Records: m.Records})
	}
	if err != nil {
		return err
	}
	s.write(u, out)
	s.signal(name)
	return nil
}

func (s *flawed) write(u sub, out checkpoint.Outcome) {
	for _, e := range out.Moved {
		u.cursors[e.Key] = e.Cursor
	}
	for _, c := range out.Records {
		switch value := bytes.Clone(c.Value); {
		case value == nil:
			delete(u.records, c.Key)
		case s.has("record values trimmed"):
			u.records[c.Key] = bytes.TrimSpace(value)
		default:
			u.records[c.Key] = value
		}
	}
}

func (s *flawed) recordsName(name string) string {
	if s.has("records of all in one") && s.subs[name].records != nil && name != "" {
		for other := range s.subs {
			if len(other) > 0 && other < name {
				return other
			}
		}
	}
	return s.name(name)
}

func (s *flawed) Records(ctx context.Context, name, prefix string) ([]checkpoint.Record, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name != "" {
		if err := s.begin(ctx, name); err != nil {
			return nil, time.Time{}, err
		}
	}
	var found []checkpoint.Record
	for key, value := range s.subs[s.recordsName(name)].records {
		if strings.HasPrefix(key, prefix) || s.has("prefixes are patterns") && strings.HasSuffix(prefix, "%") && strings.HasPrefix(key, prefix[:len(prefix)-1]) {
			found = append(found, checkpoint.Record{Key: key, Value: bytes.Clone(value), Revision: checkpoint.RevisionOf(value)})
		}
	}
	slices.SortFunc(found, func(a, b checkpoint.Record) int { return strings.Compare(a.Key, b.Key) })
	return found, time.Now(), nil
}

func (s *flawed) Exchange(ctx context.Context, name string, change checkpoint.RecordChange, prefix string) ([]checkpoint.Record, time.Time, error) {
	before, now, _ := s.Records(ctx, name, prefix)
	err := s.Apply(ctx, name, checkpoint.Mutation{Records: []checkpoint.RecordChange{change}})
	if err == nil && !s.has("exchanges read before they write") {
		return s.Records(ctx, name, prefix)
	}
	return append(before, checkpoint.Record{}), now, err
}

func (s *flawed) Describe(ctx context.Context, name string) (checkpoint.Ownership, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.subs[name]
	return checkpoint.Ownership{Epoch: u.epoch, Token: u.token, Claimed: u.claimed, Scope: u.scope}, nil
}

func (s *flawed) Names(context.Context) iter.Seq2[string, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.subs))
	names = slices.DeleteFunc(names, func(n string) bool {
		return n == "" || !s.subs[n].claimed && !s.has("deleted names are listed")
	})
	return func(yield func(string, error) bool) {
		for _, n := range names {
			if !yield(n, nil) {
				return
			}
		}
	}
}

func (s *flawed) Notify(ctx context.Context, name string) (<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if name != "" {
		if err := checkpoint.CheckName(name); err != nil {
			return nil, err
		}
	}
	signals := make(chan struct{}, 1)
	s.watchers = append(s.watchers, watcher{name, signals})
	return signals, nil
}

type watcher struct {
	name    string
	signals chan struct{}
}

func (p *platter) signalTo(name string) {
	for _, w := range p.watchers {
		if w.name != name {
			continue
		}
		select {
		case w.signals <- struct{}{}:
		default:
		}
	}
}

func (s *flawed) signal(name string) {
	if !s.has("commits give no signal") {
		s.signalTo(name)
	}
}

func (t *flawedTx) Apply(_ context.Context, name string, m checkpoint.Mutation) error {
	if t.store.has("transactions forget the records") {
		m.Records = nil
	}
	return t.store.apply(name, m)
}
