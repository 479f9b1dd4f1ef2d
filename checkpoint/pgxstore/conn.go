package pgxstore

import (
	"context"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint/internal/sqlcore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// runner is a pool or a transaction.
type runner interface {
	Exec(ctx context.Context, text string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, text string, args ...any) (pgx.Rows, error)
}

// conn runs the core's statements.
type conn struct{ runner }

func (c conn) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	tag, err := c.runner.Exec(ctx, text, args...)
	return tag.RowsAffected(), err
}

func (c conn) Query(ctx context.Context, text string, args []any, each func(sqlcore.Row) error) error {
	rows, err := c.runner.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (conn) Bytes(p *[]byte) any { return (*pgtype.DriverBytes)(p) }

// database is the core's view of a pool.
type database struct {
	conn
	pool *pgxpool.Pool
}

func (d database) begin(ctx context.Context) (pgx.Tx, error) {
	// A commit made while this transaction waited for the row's lock must be seen.
	tx, err := d.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return nil, fmt.Errorf("beginning a transaction: %w", err)
	}
	return tx, nil
}

// rollBack ends a transaction whose context may have ended; after a commit it is
// void.
func rollBack(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = tx.Rollback(ctx)
}

func (d database) InTx(ctx context.Context, do func(sqlcore.Conn) (commit bool, err error)) error {
	tx, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer rollBack(ctx, tx)
	commit, err := do(conn{tx})
	if err != nil || !commit {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}
