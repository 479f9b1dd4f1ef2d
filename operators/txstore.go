package operators

import (
	"context"
	"database/sql"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// TxStore is a checkpoint store in a database, which can take part in
// transactions on it. sqlstore.Store of the module checkpoint/sqlstore is one.
type TxStore interface {
	checkpoint.Store
	// SaveTx is Save inside tx: nothing is stored unless tx commits. It locks
	// the owner's row until tx ends, also without entries, so that transactions
	// of one subscription exclude each other.
	SaveTx(ctx context.Context, tx *sql.Tx, owner checkpoint.Owner, entries []checkpoint.Entry) error
	// LoadTx is Load inside tx.
	LoadTx(ctx context.Context, tx *sql.Tx, name string, keys []msg.Key) ([]checkpoint.Cursor, error)
}
