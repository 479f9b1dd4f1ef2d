package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// ownership is a row of the subscriptions table; the scope is NULL after a
// deletion.
type ownership struct {
	id    int64
	epoch uint64
	scope sql.NullString
}

// lock reads the subscription's row and keeps others from changing it until the
// transaction ends; sql.ErrNoRows if there is none.
func (s *Store) lock(ctx context.Context, tx *sql.Tx, name string) (ownership, error) {
	var o ownership
	var epoch int64
	err := tx.QueryRowContext(ctx, s.text.lock, name).Scan(&o.id, &epoch, &o.scope)
	o.epoch = uint64(epoch)
	return o, err
}

// save checks everything under the lock before it changes anything, so that a
// caller who commits in spite of a refusal stores nothing.
func (s *Store) save(ctx context.Context, tx *sql.Tx, owner checkpoint.Owner, entries []checkpoint.Entry) (changed bool, err error) {
	o, err := s.lock(ctx, tx, owner.Name)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, &checkpoint.FencedError{Owner: owner}
	case err != nil:
		return false, err
	case o.epoch != owner.Epoch || !o.scope.Valid:
		return false, &checkpoint.FencedError{Owner: owner, Newest: o.epoch}
	}
	keys := make([]msg.Key, len(entries))
	for i := range entries {
		keys[i] = entries[i].Key
	}
	stored, err := s.load(ctx, tx, owner.Name, keys)
	if err != nil {
		return false, err
	}
	moved, err := checkpoint.Advance(entries, stored)
	if err != nil {
		return false, err
	}
	for rows := range slices.Chunk(moved, s.text.putRows) {
		if err := s.put(ctx, tx, o.id, rows); err != nil {
			return false, err
		}
	}
	return len(moved) > 0, nil
}

// put inserts or replaces at most putRows cursors.
func (s *Store) put(ctx context.Context, tx *sql.Tx, id int64, entries []checkpoint.Entry) error {
	p := portion(len(entries))
	args := make([]any, 0, 1+len(rowKinds)<<p)
	args = append(args, id)
	for i := range entries {
		args = appendRow(args, &entries[i])
	}
	_, err := tx.ExecContext(ctx, s.text.put[p], args[:cap(args)]...)
	return err
}

func (s *Store) loadIn(ctx context.Context, q querier, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	err := s.check(name)
	if err == nil {
		err = ctx.Err()
	}
	var cursors []checkpoint.Cursor
	if err == nil {
		cursors, err = s.load(ctx, q, name, keys)
	}
	return cursors, s.explain(ctx, "loading", name, err)
}

func (s *Store) load(ctx context.Context, q querier, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	cursors := make([]checkpoint.Cursor, len(keys))
	for start := 0; start < len(keys); start += maxPortion {
		end := min(start+maxPortion, len(keys))
		if err := s.loadPortion(ctx, q, name, keys[start:end], cursors[start:end]); err != nil {
			return nil, err
		}
	}
	return cursors, nil
}

func (s *Store) loadPortion(ctx context.Context, q querier, name string, keys []msg.Key, into []checkpoint.Cursor) error {
	text, args := s.lookUp(name, keys)
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var i int
	var r row
	columns := append([]any{&i}, r.cursor()...)
	for rows.Next() {
		if err := rows.Scan(columns...); err != nil {
			return err
		}
		e, err := s.entry(&r, false)
		if err != nil {
			return err
		}
		into[i] = e.Cursor
	}
	return rows.Err()
}

// lookUp is the statement for keys, at most maxPortion.
func (s *Store) lookUp(name string, keys []msg.Key) (text string, args []any) {
	p := portion(len(keys))
	if s.dialect == Postgres {
		all := make([]byte, 0, len(keys)*len(keyColumns)*len(msg.ID{}))
		for _, k := range keys {
			all = append(append(append(all, k.Org[:]...), k.Type[:]...), k.Aggregate[:]...)
		}
		return s.text.load[p], []any{name, len(keys), all}
	}
	args = make([]any, 0, 1+len(keyColumns)<<p)
	args = append(args, name)
	for _, k := range keys {
		args = appendKey(args, k)
	}
	return s.text.load[p], args[:cap(args)]
}

// page reads one page of a scan.
func (s *Store) page(ctx context.Context, text string, args []any) ([]checkpoint.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rows, err := s.db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	page := make([]checkpoint.Entry, 0, maxPortion)
	var r row
	columns := append(r.key(), r.cursor()...)
	for rows.Next() {
		if err := rows.Scan(columns...); err != nil {
			return nil, err
		}
		e, err := s.entry(&r, true)
		if err != nil {
			return nil, err
		}
		page = append(page, e)
	}
	return page, rows.Err()
}

// row is a row of the cursors table as databases hold it.
type row struct {
	org, typ, aggregate sql.RawBytes

	life, version           int64
	deleted                 bool
	timestamp, seq, content int64
	client                  sql.RawBytes
}

func (r *row) key() []any { return []any{&r.org, &r.typ, &r.aggregate} }

func (r *row) cursor() []any {
	return []any{&r.life, &r.version, &r.deleted, &r.timestamp, &r.seq, &r.client, &r.content}
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
