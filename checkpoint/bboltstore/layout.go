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

// format is the version of the layout in doc.go.
const format = 1

var (
	formatKey     = []byte("format")
	ownersBucket  = []byte("owners")
	cursorsBucket = []byte("cursors")
)

// ownership is the fence and the scope of a subscription; claimed is false
// after a deletion, when there is no scope.
type ownership struct {
	epoch   uint64
	claimed bool
	scope   string
}

// layout is the store's buckets within one transaction.
type layout struct {
	where   string
	owners  *bbolt.Bucket
	cursors *bbolt.Bucket
}

// prepare creates the layout, or checks its version. All of it commits at once,
// so a root without the rest is not ours.
func (s *Store) prepare(tx *bbolt.Tx) (changed bool, err error) {
	if tx.Bucket(s.root) != nil {
		_, err := s.layout(tx)
		return false, err
	}
	root, err := tx.CreateBucket(s.root)
	if err == nil {
		err = root.Put(formatKey, []byte{format})
	}
	if err == nil {
		_, err = root.CreateBucket(ownersBucket)
	}
	if err == nil {
		_, err = root.CreateBucket(cursorsBucket)
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
	l := layout{where: where, owners: root.Bucket(ownersBucket), cursors: root.Bucket(cursorsBucket)}
	if l.owners == nil || l.cursors == nil {
		return layout{}, &checkpoint.DamagedError{Where: where, Offset: -1, Reason: "a bucket is missing in it"}
	}
	return l, nil
}

// ownership returns the zero value for a name that never existed.
func (l layout) ownership(name string) (ownership, error) {
	b := l.owners.Get([]byte(name))
	if b == nil {
		return ownership{}, nil
	}
	if len(b) < 9 || b[8] > 1 {
		return ownership{}, &checkpoint.DamagedError{Where: l.where, Offset: -1, Reason: fmt.Sprintf("the owner of %q does not read as one", name)}
	}
	return ownership{epoch: binary.BigEndian.Uint64(b), claimed: b[8] == 1, scope: string(b[9:])}, nil
}

func (l layout) own(name string, o ownership) error {
	b := binary.BigEndian.AppendUint64(nil, o.epoch)
	if o.claimed {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return l.owners.Put([]byte(name), append(b, o.scope...))
}

// forget removes the cursors of name.
func (l layout) forget(name string) error {
	err := l.cursors.DeleteBucket([]byte(name))
	if errors.Is(err, berrors.ErrBucketNotFound) {
		return nil
	}
	return err
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

// save checks everything before it changes anything, so that a caller who
// commits in spite of an error stores nothing.
func (s *Store) save(tx *bbolt.Tx, owner checkpoint.Owner, entries []checkpoint.Entry) (changed bool, err error) {
	l, err := s.layout(tx)
	if err != nil {
		return false, err
	}
	o, err := l.ownership(owner.Name)
	if err != nil {
		return false, err
	}
	if o.epoch != owner.Epoch || !o.claimed {
		return false, &checkpoint.FencedError{Owner: owner, Newest: o.epoch}
	}
	bucket := l.cursors.Bucket([]byte(owner.Name))
	stored := make([]checkpoint.Cursor, len(entries))
	var key [checkpoint.KeySize]byte
	for i := range entries {
		if stored[i], err = l.cursor(bucket, checkpoint.AppendKey(key[:0], entries[i].Key)); err != nil {
			return false, err
		}
	}
	moved, err := checkpoint.Advance(entries, stored)
	if err != nil || len(moved) == 0 {
		return false, err
	}
	if bucket == nil {
		if bucket, err = l.cursors.CreateBucket([]byte(owner.Name)); err != nil {
			return false, err
		}
	}
	return true, put(bucket, moved)
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
