package sqlcore

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// Records implements checkpoint.RecordStore, with one statement. The time is the
// database's, SQLite's that of the process.
func (s *Store) Records(ctx context.Context, name, prefix string) ([]checkpoint.Record, time.Time, error) {
	err := s.checkRecords(ctx, name)
	var records []checkpoint.Record
	var now time.Time
	if err == nil {
		records, now, err = s.list(ctx, s.db, name, prefix)
	}
	if err != nil {
		return nil, time.Time{}, s.explain(ctx, "reading the records of", name, err)
	}
	return records, now, nil
}

func (s *Store) list(ctx context.Context, c Conn, name, prefix string) ([]checkpoint.Record, time.Time, error) {
	text, args := s.text.records, []any{name, prefix, prefix + "\U0010FFFF"}
	if name == "" {
		text, args = s.text.storeRecords, args[1:]
	}
	return s.collect(ctx, c, text, args)
}

func (s *Store) collect(ctx context.Context, c Conn, text string, args []any) (records []checkpoint.Record, now time.Time, err error) {
	var micros int64
	err = c.Query(ctx, text, args, func(r Row) error {
		var key *string
		var value []byte
		if err := r.Scan(&micros, &key, &value); err != nil || key == nil {
			return err
		}
		records = append(records, checkpoint.Record{Key: *key, Value: value, Revision: checkpoint.RevisionOf(value)})
		return nil
	})
	if now = time.UnixMicro(micros); s.dialect == SQLite {
		now = time.Now()
	}
	return records, now, err
}

// Exchange implements checkpoint.Exchanger: for an unconditional change of one of
// the store's own records PostgreSQL takes one statement, everything else is a
// transaction.
func (s *Store) Exchange(ctx context.Context, name string, change checkpoint.RecordChange, prefix string) (records []checkpoint.Record, now time.Time, err error) {
	m := checkpoint.Mutation{Records: []checkpoint.RecordChange{change}}
	if err := m.Check(name); err != nil {
		return nil, time.Time{}, err
	}
	if s.dialect == Postgres && name == "" && change.Any && change.Value != nil {
		return s.beat(ctx, change, prefix)
	}
	err = s.update(ctx, "changing", name, func(c Conn) (bool, error) {
		changed, err := s.apply(ctx, c, name, &m)
		if err == nil {
			records, now, err = s.list(ctx, c, name, prefix)
		}
		return changed, err
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	return records, now, nil
}

// beat writes and reads in one statement, whose reading part does not see what
// the writing part does.
func (s *Store) beat(ctx context.Context, change checkpoint.RecordChange, prefix string) ([]checkpoint.Record, time.Time, error) {
	err := s.ready(ctx)
	var records []checkpoint.Record
	var now time.Time
	if err == nil {
		args := []any{change.Key, string(change.Value), prefix, prefix + "\U0010FFFF"}
		records, now, err = s.collect(ctx, s.db, s.text.exchange, args)
	}
	if err != nil {
		return nil, time.Time{}, s.explain(ctx, "changing the records of", "", err)
	}
	s.Committed("")
	if !strings.HasPrefix(change.Key, prefix) {
		return records, now, nil
	}
	own := checkpoint.Record{Key: change.Key, Value: slices.Clone(change.Value), Revision: checkpoint.RevisionOf(change.Value)}
	at, found := slices.BinarySearchFunc(records, own.Key, func(r checkpoint.Record, key string) int { return strings.Compare(r.Key, key) })
	if found {
		records[at] = own
	} else {
		records = slices.Insert(records, at, own)
	}
	return records, now, nil
}
