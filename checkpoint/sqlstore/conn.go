package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint/internal/sqlcore"
)

// runner is a *sql.DB or a *sql.Tx.
type runner interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// conn runs the core's statements.
type conn struct{ runner }

func (c conn) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	result, err := c.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (c conn) Query(ctx context.Context, text string, args []any, each func(sqlcore.Row) error) error {
	rows, err := c.QueryContext(ctx, text, args...)
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

func (conn) Bytes(p *[]byte) any { return (*sql.RawBytes)(p) }

// database is the core's view of a *sql.DB.
type database struct {
	conn
	db      *sql.DB
	dialect Dialect
}

func (d database) begin(ctx context.Context) (*sql.Tx, error) {
	var options sql.TxOptions
	if d.dialect != SQLite {
		// A commit made while this transaction waited for the row's lock must be seen.
		options.Isolation = sql.LevelReadCommitted
	}
	tx, err := d.db.BeginTx(ctx, &options)
	if err != nil {
		return nil, fmt.Errorf("beginning a transaction: %w", err)
	}
	return tx, nil
}

func (d database) InTx(ctx context.Context, do func(sqlcore.Conn) (commit bool, err error)) error {
	tx, err := d.begin(ctx)
	if err != nil {
		return err
	}
	// After a commit this is void.
	defer func() { _ = tx.Rollback() }()
	commit, err := do(conn{tx})
	if err != nil || !commit {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}
