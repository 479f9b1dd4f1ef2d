package bboltstore_test

import (
	"context"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/bboltstore"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"go.etcd.io/bbolt"
)

// counted is a store whose effects are counted by the sequence of a bucket.
type counted struct {
	*bboltstore.Store
	db *bbolt.DB
}

func (d databases) transactor(_ context.Context, s checkpoint.Store) (checkpointtest.Transactor, error) {
	return counted{s.(*bboltstore.Store), d[s]}, nil
}

var effects = []byte("effects")

func (c counted) Transact(ctx context.Context, o checkpoint.Owner, entries []checkpoint.Entry, apply func(context.Context, func() error) error) error {
	return c.Store.Transact(ctx, o, entries, func(ctx context.Context, tx *bbolt.Tx) error {
		return apply(ctx, func() error {
			b, err := tx.CreateBucketIfNotExists(effects)
			if err == nil {
				_, err = b.NextSequence()
			}
			return err
		})
	})
}

func (c counted) Effects(context.Context) (n int, err error) {
	err = c.db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(effects); b != nil {
			n = int(b.Sequence())
		}
		return nil
	})
	return n, err
}
