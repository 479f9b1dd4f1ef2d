package sqlcore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

func (s *Store) load(ctx context.Context, c Conn, texts *[portions]string, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	cursors := make([]checkpoint.Cursor, len(keys))
	for start := 0; start < len(keys); start += maxPortion {
		end := min(start+maxPortion, len(keys))
		if err := s.loadPortion(ctx, c, texts, name, keys[start:end], cursors[start:end]); err != nil {
			return nil, err
		}
	}
	return cursors, nil
}

func (s *Store) loadPortion(ctx context.Context, c Conn, texts *[portions]string, name string, keys []msg.Key, into []checkpoint.Cursor) error {
	text, args := s.lookUp(texts, name, keys)
	var i int
	var r row
	columns := append([]any{&i}, r.cursor(c)...)
	return c.Query(ctx, text, args, func(found Row) error {
		if err := found.Scan(columns...); err != nil {
			return err
		}
		e, err := s.entry(&r, false)
		if err != nil {
			return err
		}
		into[i] = e.Cursor
		return nil
	})
}

// lookUp is the statement for keys, at most maxPortion.
func (s *Store) lookUp(texts *[portions]string, name string, keys []msg.Key) (text string, args []any) {
	p := portion(len(keys))
	switch s.dialect {
	case Postgres:
		all := make([]byte, 0, len(keys)*checkpoint.KeySize)
		for _, k := range keys {
			all = checkpoint.AppendKey(all, k)
		}
		return texts[p], []any{name, len(keys), all}
	case MySQL:
		var b strings.Builder
		for i, k := range keys {
			if i > 0 {
				b.WriteString(" UNION ALL ")
			}
			fmt.Fprintf(&b, "SELECT %d AS i, X'%x' AS org, X'%x' AS type, X'%x' AS aggregate", i, k.Org[:], k.Type[:], k.Aggregate[:])
		}
		return strings.Replace(texts[p], "{wanted}", b.String(), 1), []any{name}
	}
	args = make([]any, 0, 1+len(keyColumns)<<p)
	args = append(args, name)
	for _, k := range keys {
		args = appendKey(args, k)
	}
	return texts[p], args[:cap(args)]
}

// nextPage is the statement for the page of a scan behind a key.
func (s *Store) nextPage(name string, k msg.Key) (text string, args []any) {
	switch s.dialect {
	case Postgres:
		return s.text.next, append(appendKey([]any{name}, k), name)
	case MySQL:
		after := fmt.Sprintf("org_id > X'%[1]x' OR org_id = X'%[1]x' AND type_id > X'%[2]x'"+
			" OR org_id = X'%[1]x' AND type_id = X'%[2]x' AND aggregate_id > X'%[3]x'", k.Org[:], k.Type[:], k.Aggregate[:])
		return strings.Replace(s.text.next, "{after}", after, 1), []any{name}
	}
	return s.text.next, appendKey([]any{name}, k)
}

// page reads one page of a scan.
func (s *Store) page(ctx context.Context, text string, args []any) ([]checkpoint.Entry, error) {
	page := make([]checkpoint.Entry, 0, maxPortion)
	var r row
	columns := append(r.key(s.db), r.cursor(s.db)...)
	err := s.db.Query(ctx, text, args, func(found Row) error {
		if err := found.Scan(columns...); err != nil {
			return err
		}
		e, err := s.entry(&r, true)
		page = append(page, e)
		return err
	})
	return page, err
}

// row is a row of the cursors table as databases hold it.
type row struct {
	org, typ, aggregate []byte

	life, version           int64
	deleted                 bool
	timestamp, seq, content int64
	client                  []byte
}

func (r *row) key(c Conn) []any {
	return []any{c.Bytes(&r.org), c.Bytes(&r.typ), c.Bytes(&r.aggregate)}
}

func (r *row) cursor(c Conn) []any {
	return []any{&r.life, &r.version, &r.deleted, &r.timestamp, &r.seq, c.Bytes(&r.client), &r.content}
}

// entry reads a row, its key too if it has one.
func (s *Store) entry(r *row, keyed bool) (e checkpoint.Entry, err error) {
	e.Cursor = checkpoint.Cursor{
		Life:    uint64(r.life),
		Version: uint64(r.version),
		Deleted: r.deleted,
		Anchor:  checkpoint.Anchor{ServerTimestamp: uint64(r.timestamp), EventSeq: uint64(r.seq), Hash: uint64(r.content)},
	}
	err = s.id(&e.Cursor.Anchor.ClientID, "client_id", r.client)
	if keyed && err == nil {
		err = errors.Join(
			s.id(&e.Key.Org, "org_id", r.org),
			s.id(&e.Key.Type, "type_id", r.typ),
			s.id(&e.Key.Aggregate, "aggregate_id", r.aggregate),
		)
	}
	if err == nil && !e.Cursor.Storable() {
		err = &checkpoint.DamagedError{Where: s.where("cursors"), Offset: -1, Reason: "a cursor is at " + e.Cursor.String()}
	}
	return e, err
}

func (s *Store) id(id *msg.ID, column string, b []byte) error {
	if len(b) != len(id) {
		reason := fmt.Sprintf("an %s of %d bytes instead of %d", column, len(b), len(id))
		return &checkpoint.DamagedError{Where: s.where("cursors"), Offset: -1, Reason: reason}
	}
	copy(id[:], b)
	return nil
}

func appendKey(args []any, k msg.Key) []any {
	return append(args, k.Org[:], k.Type[:], k.Aggregate[:])
}

// appendRow appends what rowKinds lists.
func appendRow(args []any, e *checkpoint.Entry) []any {
	c := &e.Cursor
	return append(appendKey(args, e.Key), int64(c.Life), int64(c.Version), c.Deleted,
		int64(c.Anchor.ServerTimestamp), int64(c.Anchor.EventSeq), c.Anchor.ClientID[:], int64(c.Anchor.Hash))
}
