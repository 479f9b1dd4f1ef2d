package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

const (
	// MaxEntries is the most cursors of one save.
	MaxEntries = 100_000
	// conflicts bounds how often a change is decided anew because somebody else's
	// came between.
	conflicts = 1_000
)

var (
	errConflict = errors.New("what the change was decided on changed meanwhile")
	errRead     = errors.New("a value that the handler read has changed meanwhile")
	errType     = errors.New("a key of the read model holds another type than it is written as")
)

func fieldOf(k msg.Key) string { return string(checkpoint.AppendKey(nil, k)) }

func fieldsOf(entries []checkpoint.Entry) []string {
	fields := make([]string, len(entries))
	for i := range entries {
		fields[i] = fieldOf(entries[i].Key)
	}
	return fields
}

// apply decides a mutation and applies it together with the writes of tx, which may be
// nil, until nobody came between.
func (s *Store) apply(ctx context.Context, name string, m *checkpoint.Mutation, tx *Tx) error {
	if len(m.Entries) > MaxEntries {
		return &checkpoint.SizeError{Name: name, Entries: len(m.Entries), Limit: MaxEntries}
	}
	fields := fieldsOf(m.Entries)
	for range conflicts {
		v, out, err := s.decide(ctx, name, m, fields)
		if err != nil {
			return err
		}
		if len(out.Moved) == 0 && len(out.Records) == 0 && !m.Exclusive && tx == nil {
			return nil
		}
		if err := s.write(ctx, name, m, fields, &v, &out, tx); !errors.Is(err, errConflict) {
			return err
		}
	}
	return errConflict
}

func (s *Store) decide(ctx context.Context, name string, m *checkpoint.Mutation, fields []string) (view, checkpoint.Outcome, error) {
	v, err := s.see(ctx, name, m, fields)
	if err != nil {
		return view{}, checkpoint.Outcome{}, err
	}
	stored, err := v.stored(s.tag(name)+"cursors", m)
	if err != nil {
		return view{}, checkpoint.Outcome{}, err
	}
	out, err := m.Decide(name, stored)
	return v, out, err
}

func (s *Store) write(ctx context.Context, name string, m *checkpoint.Mutation, fields []string, v *view, out *checkpoint.Outcome, tx *Tx) error {
	next := ""
	if m.Exclusive {
		inquired := v.own
		inquired.inquiries++
		next = inquired.encode()
	}
	head := []any{v.ownText, next, ""}
	if m.Limit != nil {
		low, high := bounds(m.Limit.Prefix)
		head = append(head, low, high, v.limited)
	} else {
		head = append(head, "", "", "")
	}
	return s.run(ctx, name, head, v.compared(m, fields, out), tx)
}

// run runs the script of a change.
func (s *Store) run(ctx context.Context, name string, head, compared []any, tx *Tx) error {
	args := append(head, s.channel(), name)
	args = append(args, compared...)
	keys := s.keysOf(name, checkpoint.NewToken().String())
	if tx == nil {
		args = append(args, 0, 0)
	} else {
		keys, args = tx.append(keys, args)
	}
	answer, err := change.Run(ctx, s.client, keys, args...).Text()
	if err != nil {
		return err
	}
	switch answer {
	case "ok":
		s.hub.Signal(name)
		return nil
	case "changed":
		return errConflict
	case "read":
		return errRead
	case "type":
		return errType
	}
	return fmt.Errorf("the server answered a script with %q", answer)
}

// own stores the ownership that decide makes of the present one, unless they are the
// same.
func (s *Store) own(ctx context.Context, name string, decide func(checkpoint.Ownership) (checkpoint.Ownership, bool, error)) (checkpoint.Ownership, error) {
	for range conflicts {
		v, err := s.see(ctx, name, &checkpoint.Mutation{}, nil)
		if err != nil {
			return checkpoint.Ownership{}, err
		}
		next, rescoped, err := decide(v.own.Ownership)
		if err != nil || next == v.own.Ownership {
			return next, err
		}
		remove := ""
		switch {
		case !next.Claimed:
			remove = "all"
		case rescoped:
			remove = "partitions"
		}
		text := own{next, v.own.inquiries}.encode()
		err = s.run(ctx, name, []any{v.ownText, text, remove, "", "", ""}, []any{0, 0}, nil)
		if !errors.Is(err, errConflict) {
			return next, err
		}
	}
	return checkpoint.Ownership{}, errConflict
}
