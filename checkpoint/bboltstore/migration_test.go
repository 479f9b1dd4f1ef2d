package bboltstore_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/bboltstore"
	"github.com/celeriant/celeriant-go/msg"
	"go.etcd.io/bbolt"
)

// A database of the first release goes on: cursors, owners and all.
func TestFirstLayoutGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	key := msg.Key{Org: msg.IDFromUint64(1)}
	db := open(t, path)
	err := db.Update(func(tx *bbolt.Tx) error {
		root, err := tx.CreateBucket([]byte("celeriant.checkpoints"))
		if err != nil {
			return err
		}
		owners, err1 := root.CreateBucket([]byte("owners"))
		all, err2 := root.CreateBucket([]byte("cursors"))
		if err := errors.Join(err1, err2, root.Put([]byte("format"), []byte{1})); err != nil {
			return err
		}
		cursors, err := all.CreateBucket([]byte("orders"))
		if err != nil {
			return err
		}
		value, _ := checkpoint.Cursor{Version: 7}.MarshalBinary()
		return errors.Join(
			cursors.Put(checkpoint.AppendKey(nil, key), value),
			owners.Put([]byte("orders"), append(append(binary.BigEndian.AppendUint64(nil, 3), 1), "all"...)),
			owners.Put([]byte("gone"), append(binary.BigEndian.AppendUint64(nil, 5), 0)),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(t, db, bboltstore.Options{})
	if got, err := s.Load(t.Context(), "orders", []msg.Key{key}); err != nil || got[0].Version != 7 {
		t.Fatalf("holds %v, %v", got, err)
	}
	before := checkpoint.Owner{Name: "orders", Epoch: 3}
	next := []checkpoint.Entry{{Key: key, Cursor: checkpoint.Cursor{Version: 8}}}
	if err := s.Save(t.Context(), before, next); err != nil {
		t.Fatalf("the owner of before: %v", err)
	}
	for name, epoch := range map[string]uint64{"orders": 4, "gone": 6} {
		if owner, err := s.Acquire(t.Context(), checkpoint.Claim{Name: name, Scope: "all"}); err != nil || owner.Epoch != epoch {
			t.Fatalf("acquiring %s: %+v, %v, want epoch %d", name, owner, err, epoch)
		}
	}
	if err := s.Save(t.Context(), before, next); !errors.Is(err, checkpoint.ErrFenced) {
		t.Fatalf("the owner of before: %v, want ErrFenced", err)
	}
}

func TestFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoints.db")
	s, err := bboltstore.Open(t.Context(), path, bboltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Fatalf("mode %v, %v, want it for nobody else", info.Mode(), err)
	}
}
