package stream

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// A start from now is noted member by member of the scope, so that a later run, of
// the same scope or of another one, begins now only what no run has begun: each
// member is a record "started/<member>".

const (
	startedPrefix = "started/"
	startedValue  = `{"format":1}`
)

// legacyStart is the key under which earlier releases noted the start of a whole
// scope, and under which stores without records still do. Its cursor has a version
// and no anchor, which no aggregate's has.
var legacyStart = func() msg.Key {
	ones := msg.IDFromUint64s(^uint64(0), ^uint64(0))
	return msg.Key{Org: ones, Type: ones, Aggregate: ones}
}()

var legacyCursor = checkpoint.Cursor{Version: 1}

// started returns the part of the scopes followed so far whose start from now was
// made.
func (o Options) started(ctx context.Context, scope Scope) (Scope, error) {
	if o.Start != FromNow {
		return Scope{}, nil
	}
	cursors, err := o.Store.Load(ctx, o.Name, []msg.Key{legacyStart})
	if err != nil {
		return Scope{}, fmt.Errorf("stream: looking up the start of %q: %w", o.Name, err)
	}
	if cursors[0] == legacyCursor {
		return scope, nil
	}
	records, ok := o.Store.(checkpoint.RecordStore)
	if !ok {
		return Scope{}, nil
	}
	noted, _, err := records.Records(ctx, o.Name, startedPrefix)
	if err != nil {
		return Scope{}, fmt.Errorf("stream: looking up the start of %q: %w", o.Name, err)
	}
	var made Scope
	for _, record := range noted {
		member, err := parseMember(strings.TrimPrefix(record.Key, startedPrefix))
		if err != nil {
			return Scope{}, fmt.Errorf("stream: record %q of %q: %w", record.Key, o.Name, err)
		}
		made = Union(made, member)
	}
	return made, nil
}

// memberTexts names the members of a scope, one by one.
func (s Scope) memberTexts() []string {
	if s.all {
		return []string{"everything"}
	}
	texts := make([]string, 0, s.members())
	for _, org := range s.orgs {
		texts = append(texts, "org/"+org.String())
	}
	for _, t := range s.types {
		texts = append(texts, "type/"+t.org.String()+"/"+t.typ.String())
	}
	for _, key := range s.keys {
		texts = append(texts, "aggregate/"+key.Org.String()+"/"+key.Type.String()+"/"+key.Aggregate.String())
	}
	return texts
}

// parseMember reads one of those texts.
func parseMember(text string) (Scope, error) {
	kind, rest, _ := strings.Cut(text, "/")
	var ids []msg.ID
	for rest != "" {
		var one string
		one, rest, _ = strings.Cut(rest, "/")
		id, err := msg.ParseID(one)
		if err != nil {
			return Scope{}, err
		}
		ids = append(ids, id)
	}
	switch {
	case kind == "everything" && len(ids) == 0:
		return Everything(), nil
	case kind == "org" && len(ids) == 1:
		return Orgs(ids[0]), nil
	case kind == "type" && len(ids) == 2:
		return Types(ids[0], ids[1]), nil
	case kind == "aggregate" && len(ids) == 3:
		return Aggregates(msg.Key{Org: ids[0], Type: ids[1], Aggregate: ids[2]}), nil
	}
	return Scope{}, fmt.Errorf("%q is no member of a scope", text)
}

// noteStart notes that the start of a scope was made, and lets the engine go on.
func (x *executor) noteStart(scope Scope) {
	rest := scope.Without(x.s.made)
	x.request(func(ctx context.Context) error { return x.s.saveStart(ctx, rest) }, func(err error) {
		if err != nil {
			return // the subscription has ended
		}
		x.s.feed(func(e *engine.Engine, now time.Time) {
			x.s.made = Union(x.s.made, scope)
			e.Begun(now, x.s.opts.contains(x.s.made))
		})
	})
}

// saveStart stores the notes of a scope's members.
func (s *Subscription) saveStart(ctx context.Context, scope Scope) error {
	if _, ok := s.opts.Store.(checkpoint.RecordStore); !ok {
		if scope.Empty() {
			return nil
		}
		return s.Commit(ctx, []checkpoint.Entry{{Key: legacyStart, Cursor: legacyCursor}})
	}
	const most = 500 // records of one mutation
	texts := scope.memberTexts()
	for len(texts) > 0 {
		n := min(most, len(texts))
		var m checkpoint.Mutation
		for _, text := range texts[:n] {
			m.Records = append(m.Records, checkpoint.RecordChange{Key: startedPrefix + text, Value: []byte(startedValue), Any: true})
		}
		if err := s.Apply(ctx, m); err != nil {
			return err
		}
		texts = texts[n:]
	}
	return nil
}
