package bboltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// format is the version of the layout in doc.go. The one before had owners
// without tokens and no records.
const (
	format    = 2
	oldFormat = 1
)

var (
	formatKey     = []byte("format")
	ownersBucket  = []byte("owners")
	cursorsBucket = []byte("cursors")
	recordsBucket = []byte("records")
	storeBucket   = []byte("store")
)

// The flags of an owner.
const (
	flagClaimed = 1
	flagToken   = 2
)

// layout is the store's buckets within one transaction.
type layout struct {
	where   string
	owners  *bbolt.Bucket
	cursors *bbolt.Bucket
	records *bbolt.Bucket
	store   *bbolt.Bucket
}

// prepare creates the layout, or checks its version and brings an earlier one to
// this. All of it commits at once, so a root without the rest is not ours.
func (s *Store) prepare(tx *bbolt.Tx) (changed bool, err error) {
	root := tx.Bucket(s.root)
	created := [][]byte{ownersBucket, cursorsBucket, recordsBucket, storeBucket}
	switch {
	case root == nil:
		root, err = tx.CreateBucket(s.root)
	case bytes.Equal(root.Get(formatKey), []byte{oldFormat}):
		created = created[2:]
	default:
		_, err := s.layout(tx)
		return false, err
	}
	if err == nil {
		err = root.Put(formatKey, []byte{format})
	}
	for _, name := range created {
		if err == nil {
			_, err = root.CreateBucket(name)
		}
	}
	return true, err
}

// layout finds the buckets. The version is looked at each time, as somebody
// else may have the same database open later, with another release.
func (s *Store) layout(tx *bbolt.Tx) (layout, error) {
	where := fmt.Sprintf("bucket %q", s.root)
	root := tx.Bucket(s.root)
	if root == nil {
		return layout{}, &checkpoint.DamagedError{Where: where, Offset: -1, Reason: "missing"}
	}
	switch v := root.Get(formatKey); {
	case len(v) != 1:
		return layout{}, &checkpoint.DamagedError{Where: where, Offset: -1, Reason: "no format"}
	case v[0] != format:
		return layout{}, &checkpoint.VersionError{Where: where, Found: uint64(v[0]), Supported: format}
	}
	l := layout{
		where: where, owners: root.Bucket(ownersBucket), cursors: root.Bucket(cursorsBucket),
		records: root.Bucket(recordsBucket), store: root.Bucket(storeBucket),
	}
	if l.owners == nil || l.cursors == nil || l.records == nil || l.store == nil {
		return layout{}, &checkpoint.DamagedError{Where: where, Offset: -1, Reason: "a bucket is missing in it"}
	}
	return l, nil
}

// ownership returns the zero value for a name that never existed.
func (l layout) ownership(name string) (o checkpoint.Ownership, err error) {
	b := l.owners.Get([]byte(name))
	if b == nil {
		return o, nil
	}
	damaged := &checkpoint.DamagedError{Where: l.where, Offset: -1, Reason: fmt.Sprintf("the owner of %q does not read as one", name)}
	if len(b) < 9 || b[8] > flagClaimed|flagToken {
		return o, damaged
	}
	o.Epoch, o.Claimed = binary.BigEndian.Uint64(b), b[8]&flagClaimed != 0
	rest := b[9:]
	if b[8]&flagToken != 0 {
		if len(rest) < len(o.Token) {
			return checkpoint.Ownership{}, damaged
		}
		rest = rest[copy(o.Token[:], rest):]
	}
	o.Scope = string(rest)
	return o, nil
}

func (l layout) own(name string, o checkpoint.Ownership) error {
	b := binary.BigEndian.AppendUint64(nil, o.Epoch)
	var flags byte = flagToken
	if o.Claimed {
		flags |= flagClaimed
	}
	b = append(append(b, flags), o.Token[:]...)
	return l.owners.Put([]byte(name), append(b, o.Scope...))
}

// forget removes the cursors and records of name.
func (l layout) forget(name string) error {
	for _, bucket := range []*bbolt.Bucket{l.cursors, l.records} {
		if err := bucket.DeleteBucket([]byte(name)); err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
			return err
		}
	}
	return nil
}

// recordsOf returns the bucket with the records of name, nil if there is none.
func (l layout) recordsOf(name string) *bbolt.Bucket {
	if name == "" {
		return l.store
	}
	return l.records.Bucket([]byte(name))
}

// writable is recordsOf, creating the bucket.
func (l layout) writable(name string) (*bbolt.Bucket, error) {
	if name == "" {
		return l.store, nil
	}
	return l.records.CreateBucketIfNotExists([]byte(name))
}

// eachRecord visits the records below a prefix in the order of their keys.
func eachRecord(bucket *bbolt.Bucket, prefix string, visit func(key, value []byte) error) error {
	if bucket == nil {
		return nil
	}
	c := bucket.Cursor()
	for k, v := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
		if err := visit(k, v); err != nil {
			return err
		}
	}
	return nil
}

// dropPartitions removes the partitions' records.
func (l layout) dropPartitions(name string) error {
	bucket := l.recordsOf(name)
	var keys [][]byte
	_ = eachRecord(bucket, checkpoint.PartitionPrefix, func(key, _ []byte) error {
		keys = append(keys, bytes.Clone(key))
		return nil
	})
	for _, key := range keys {
		if err := bucket.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// cursor reads one cursor; bucket may be nil.
func (l layout) cursor(bucket *bbolt.Bucket, key []byte) (c checkpoint.Cursor, err error) {
	if bucket == nil {
		return c, nil
	}
	if b := bucket.Get(key); b != nil {
		err = l.read(&c, b)
	}
	return c, err
}

func (l layout) read(c *checkpoint.Cursor, b []byte) error {
	err := c.UnmarshalBinary(b)
	var damaged *checkpoint.DamagedError
	if errors.As(err, &damaged) {
		damaged.Where = "a cursor in " + l.where
	}
	return err
}

func (s *Store) load(ctx context.Context, tx *bbolt.Tx, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	l, err := s.layout(tx)
	if err != nil {
		return nil, err
	}
	cursors := make([]checkpoint.Cursor, len(keys))
	bucket := l.cursors.Bucket([]byte(name))
	var key [checkpoint.KeySize]byte
	for i, k := range keys {
		if i%1024 == 1023 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if cursors[i], err = l.cursor(bucket, checkpoint.AppendKey(key[:0], k)); err != nil {
			return nil, err
		}
	}
	return cursors, nil
}

// apply checks everything before it changes anything, so that a caller who
// commits in spite of an error stores nothing.
func (s *Store) apply(tx *bbolt.Tx, name string, m *checkpoint.Mutation) (changed bool, err error) {
	l, err := s.layout(tx)
	if err != nil {
		return false, err
	}
	stored, err := l.stored(name, m)
	if err != nil {
		return false, err
	}
	out, err := m.Decide(name, stored)
	if err != nil {
		return false, err
	}
	if err := l.putRecords(name, out.Records); err != nil {
		return false, err
	}
	if len(out.Moved) > 0 {
		bucket, err := l.cursors.CreateBucketIfNotExists([]byte(name))
		if err == nil {
			err = put(bucket, out.Moved)
		}
		if err != nil {
			return false, err
		}
	}
	return len(out.Moved)+len(out.Records) > 0, nil
}

// stored reads what a mutation touches.
func (l layout) stored(name string, m *checkpoint.Mutation) (stored checkpoint.Stored, err error) {
	if stored.Ownership, err = l.ownership(name); err != nil {
		return stored, err
	}
	records := l.recordsOf(name)
	get := func(key string) []byte {
		if records == nil {
			return nil
		}
		return records.Get([]byte(key))
	}
	stored.Partitions = make([][]byte, len(m.Owners))
	for i, o := range m.Owners {
		if o.Leased {
			stored.Partitions[i] = get(checkpoint.PartitionKey(o.Partition))
		}
	}
	stored.Records = make([][]byte, len(m.Records))
	for i := range m.Records {
		stored.Records[i] = get(m.Records[i].Key)
	}
	if m.Limit != nil {
		_ = eachRecord(records, m.Limit.Prefix, func(_, _ []byte) error {
			stored.Limited++
			return nil
		})
	}
	stored.Cursors = make([]checkpoint.Cursor, len(m.Entries))
	if len(m.Entries) == 0 {
		return stored, nil
	}
	// The fence comes before all else, damaged cursors among it.
	if err := m.Fence(name, stored.Ownership, stored.Partitions); err != nil {
		return stored, err
	}
	bucket := l.cursors.Bucket([]byte(name))
	var key [checkpoint.KeySize]byte
	for i := range m.Entries {
		if stored.Cursors[i], err = l.cursor(bucket, checkpoint.AppendKey(key[:0], m.Entries[i].Key)); err != nil {
			return stored, err
		}
	}
	return stored, nil
}

func (l layout) putRecords(name string, changes []checkpoint.RecordChange) error {
	if len(changes) == 0 {
		return nil
	}
	bucket, err := l.writable(name)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.Value == nil {
			err = bucket.Delete([]byte(c.Key))
		} else {
			err = bucket.Put([]byte(c.Key), bytes.Clone(c.Value))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// put hands bbolt memory of its own: it keeps values until the commit.
func put(bucket *bbolt.Bucket, entries []checkpoint.Entry) error {
	values := make([]byte, 0, len(entries)*checkpoint.CursorSize)
	var key [checkpoint.KeySize]byte
	for i := range entries {
		start := len(values)
		values, _ = entries[i].Cursor.AppendBinary(values)
		if err := bucket.Put(checkpoint.AppendKey(key[:0], entries[i].Key), values[start:len(values):len(values)]); err != nil {
			return err
		}
	}
	return nil
}

// page appends to page, up to its capacity, the entries after a key.
func (s *Store) page(tx *bbolt.Tx, name string, after []byte, page []checkpoint.Entry) ([]checkpoint.Entry, error) {
	l, err := s.layout(tx)
	if err != nil {
		return nil, err
	}
	bucket := l.cursors.Bucket([]byte(name))
	if bucket == nil {
		return page, nil
	}
	c := bucket.Cursor()
	k, v := c.Seek(after)
	if len(after) > 0 && bytes.Equal(k, after) {
		k, v = c.Next()
	}
	for ; k != nil && len(page) < cap(page); k, v = c.Next() {
		var e checkpoint.Entry
		if e.Key, err = checkpoint.ParseKey(k); err != nil {
			return nil, err
		}
		if err := l.read(&e.Cursor, v); err != nil {
			return nil, err
		}
		page = append(page, e)
	}
	return page, nil
}
