package sqlcore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// errRaced: another transaction wrote what this one had found missing. Its statements
// so far must be rolled back, and can be repeated.
var errRaced = errors.New("another transaction came between")

// apply checks everything before it changes anything, so that a caller who
// commits in spite of a refusal stores nothing. errRaced is the exception.
func (s *Store) apply(ctx context.Context, c Conn, name string, m *checkpoint.Mutation) (changed bool, err error) {
	id, stored, err := s.fence(ctx, c, name, m)
	if err != nil {
		return false, err
	}
	if err := m.Fence(name, stored.Ownership, stored.Partitions); err != nil {
		return false, err
	}
	if stored.Records, err = s.lockRecords(ctx, c, id, m); err != nil {
		return false, err
	}
	if m.Limit != nil {
		if err := s.limit(ctx, c, id, m, &stored); err != nil {
			return false, err
		}
	}
	keys := make([]msg.Key, len(m.Entries))
	for i := range m.Entries {
		keys[i] = m.Entries[i].Key
	}
	compares := slices.ContainsFunc(m.Entries, func(e checkpoint.Entry) bool { return e.Compare })
	if stored.Cursors, err = s.load(ctx, c, s.lookUpFor(compares), name, keys); err != nil {
		return false, err
	}
	out, err := m.Decide(name, stored)
	if err != nil {
		return false, err
	}
	if err := s.writeRecords(ctx, c, id, m, out.Records, stored); err != nil {
		return false, err
	}
	if err := s.writeCursors(ctx, c, id, m, out.Moved, stored, compares); err != nil {
		return false, err
	}
	return len(out.Moved)+len(out.Records) > 0, nil
}

// lookUpFor chooses how a save reads what it is compared with. The write carries
// the order of cursors as its condition, but not that a cursor is the one an
// entry starts from: that one must be locked.
func (s *Store) lookUpFor(compares bool) *[portions]string {
	if compares || s.dialect == MySQL {
		return &s.text.loadLock
	}
	return &s.text.load
}

// fence reads and locks what the mutation's owners are checked against, and the
// subscription's id.
func (s *Store) fence(ctx context.Context, c Conn, name string, m *checkpoint.Mutation) (id int64, stored checkpoint.Stored, err error) {
	stored.Partitions = make([][]byte, len(m.Owners))
	if name == "" {
		if s.dialect.serial() {
			err = s.lockFormat(ctx, c)
		}
		return 0, stored, err
	}
	var keys []string
	for _, o := range m.Owners {
		if o.Leased {
			keys = append(keys, checkpoint.PartitionKey(o.Partition))
		}
	}
	leased := len(keys) > 0 && len(keys) == len(m.Owners)
	// A claim that is given back is changed by its owner itself, and needs its
	// record exclusively at once: to ask for more later is a deadlock between two
	// who do.
	exclusive := m.Exclusive || slices.ContainsFunc(m.Records, func(r checkpoint.RecordChange) bool { return slices.Contains(keys, r.Key) })
	text := s.text.share
	switch {
	case m.Exclusive:
		text = s.text.lock
	case leased && len(keys) == 1 && !exclusive && s.text.enterPartition != "":
		id, stored.Ownership, _, err = s.ownership(ctx, c, s.text.enterPartition, []any{name, keys[0]}, &stored.Partitions[0])
		return id, stored, err
	case leased && !s.dialect.serial():
		// Their fence is the partitions' records. Deleting the subscription, too,
		// waits for those.
		text = s.text.enterFence
	}
	id, stored.Ownership, _, err = s.ownership(ctx, c, text, []any{name})
	if err != nil {
		return 0, stored, err
	}
	if len(keys) == 0 {
		return id, stored, nil
	}
	found, err := s.readRecords(ctx, c, id, keys, exclusive)
	if err != nil {
		return 0, stored, err
	}
	for i, o := range m.Owners {
		if o.Leased {
			stored.Partitions[i] = found[checkpoint.PartitionKey(o.Partition)]
		}
	}
	return id, stored, nil
}

// readRecords reads records by their keys, and locks them in the order of those.
func (s *Store) readRecords(ctx context.Context, c Conn, id int64, keys []string, exclusive bool) (map[string][]byte, error) {
	found := make(map[string][]byte, len(keys))
	for some := range slices.Chunk(sorted(keys), maxPortion) {
		n := 1 << portion(len(some))
		args := make([]any, 0, 1+n)
		args = append(args, id)
		for i := range n {
			args = append(args, some[min(i, len(some)-1)])
		}
		text := "SELECT record_key, record_value FROM {records} WHERE subscription = {1} AND record_key IN (" +
			s.dialect.params(2, n) + ") ORDER BY record_key"
		if exclusive {
			text += s.dialect.forUpdate()
		} else {
			text += s.dialect.forShare()
		}
		err := c.Query(ctx, s.text.names.Replace(text), args, func(r Row) error {
			var key string
			var value []byte
			if err := r.Scan(&key, &value); err != nil {
				return err
			}
			found[key] = value
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func sorted(keys []string) []string {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	return slices.Compact(keys)
}

// lockRecords reads the records that the mutation changes or checks, parallel to
// its changes.
func (s *Store) lockRecords(ctx context.Context, c Conn, id int64, m *checkpoint.Mutation) ([][]byte, error) {
	var changed, checked []string
	for _, r := range m.Records {
		if r.Check {
			checked = append(checked, r.Key)
		} else {
			changed = append(changed, r.Key)
		}
	}
	stored := make([][]byte, len(m.Records))
	for _, some := range []struct {
		keys      []string
		exclusive bool
	}{{changed, true}, {checked, false}} {
		if len(some.keys) == 0 {
			continue
		}
		found, err := s.readRecords(ctx, c, id, some.keys, some.exclusive)
		if err != nil {
			return nil, err
		}
		for i, r := range m.Records {
			if r.Check != some.exclusive {
				stored[i] = found[r.Key]
			}
		}
	}
	return stored, nil
}

// limit counts the records below the limit's prefix. Saves that add records under
// a limit take turns until their transactions end: the turn is a row of its own,
// whose key no record has.
func (s *Store) limit(ctx context.Context, c Conn, id int64, m *checkpoint.Mutation, stored *checkpoint.Stored) error {
	if !m.Adds() {
		return nil
	}
	if !s.dialect.serial() {
		if _, err := c.Exec(ctx, s.text.enterLimit, id); err != nil {
			return err
		}
		var key string
		if _, err := one(ctx, c, s.text.lockLimit, []any{id}, &key); err != nil {
			return err
		}
	}
	var n int64
	_, err := one(ctx, c, s.text.count, below(id, m.Limit.Prefix), &n)
	stored.Limited = int(n)
	return err
}

func (s *Store) writeRecords(ctx context.Context, c Conn, id int64, m *checkpoint.Mutation, changes []checkpoint.RecordChange, stored checkpoint.Stored) error {
	for i := range changes {
		change := &changes[i]
		var affected int64
		var err error
		switch at := slices.IndexFunc(m.Records, func(r checkpoint.RecordChange) bool { return r.Key == change.Key }); {
		case change.Value == nil:
			_, err = c.Exec(ctx, s.text.drop, id, change.Key)
		case stored.Records[at] == nil && !change.Any:
			// Nothing could be locked: another one may have added it since.
			affected, err = c.Exec(ctx, s.text.addRecord, id, change.Key, string(change.Value))
			if err == nil && affected != 1 {
				err = errRaced
			}
		default:
			_, err = c.Exec(ctx, s.text.putRecord, id, change.Key, string(change.Value))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeCursors writes what moved. A row that is no longer as it was read shows in
// the number of rows affected.
func (s *Store) writeCursors(ctx context.Context, c Conn, id int64, m *checkpoint.Mutation, moved []checkpoint.Entry, stored checkpoint.Stored, compares bool) error {
	if len(moved) == 0 {
		return nil
	}
	if !compares && s.dialect != MySQL {
		return s.put(ctx, c, &s.text.put, id, moved)
	}
	missing := make(map[msg.Key]bool)
	for i := range m.Entries {
		if stored.Cursors[i].IsZero() {
			missing[m.Entries[i].Key] = true
		}
	}
	var added, replaced []checkpoint.Entry
	for _, e := range moved {
		if missing[e.Key] {
			added = append(added, e)
		} else {
			replaced = append(replaced, e)
		}
	}
	if err := s.put(ctx, c, &s.text.add, id, added); err != nil {
		return err
	}
	return s.put(ctx, c, &s.text.put, id, replaced)
}

// put writes cursors, in the order of their keys, so that those who write the
// same wait for each other instead of for ever.
func (s *Store) put(ctx context.Context, c Conn, texts *[portions]string, id int64, entries []checkpoint.Entry) error {
	if len(entries) > 1 {
		entries = slices.Clone(entries)
		slices.SortFunc(entries, func(a, b checkpoint.Entry) int { return a.Key.Compare(b.Key) })
	}
	for rows := range slices.Chunk(entries, s.text.putRows) {
		p := portion(len(rows))
		if s.dialect == MySQL {
			if err := s.putLiterals(ctx, c, texts[p], id, rows); err != nil {
				return err
			}
			continue
		}
		args := make([]any, 0, 1+len(rowKinds)<<p)
		args = append(args, id)
		for i := range rows {
			args = appendRow(args, &rows[i])
		}
		affected, err := c.Exec(ctx, texts[p], args[:cap(args)]...)
		if err != nil {
			return err
		}
		if affected != int64(len(rows)) {
			return errRaced
		}
	}
	return nil
}

// putLiterals writes cursors as literals. Locked rows cannot have changed,
// and a row that was missing and is there now fails the statement.
func (s *Store) putLiterals(ctx context.Context, c Conn, text string, id int64, rows []checkpoint.Entry) error {
	var b strings.Builder
	for i, e := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		cursor := &e.Cursor
		fmt.Fprintf(&b, "(%d, X'%x', X'%x', X'%x', %d, %d, %t, %d, %d, X'%x', %d)", id, e.Key.Org[:], e.Key.Type[:], e.Key.Aggregate[:],
			cursor.Life, cursor.Version, cursor.Deleted, int64(cursor.Anchor.ServerTimestamp), int64(cursor.Anchor.EventSeq),
			cursor.Anchor.ClientID[:], int64(cursor.Anchor.Hash))
	}
	_, err := c.Exec(ctx, strings.Replace(text, "{rows}", b.String(), 1))
	if number(err) == mysqlDuplicate {
		return fmt.Errorf("%w: %w", errRaced, err)
	}
	return err
}

// below are the arguments that bound the keys with a prefix. No key has a
// character behind the last one.
func below(id int64, prefix string) []any { return []any{id, prefix, prefix + "\U0010FFFF"} }
