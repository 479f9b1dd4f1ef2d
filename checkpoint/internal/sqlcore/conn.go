package sqlcore

import "context"

// Conn runs statements: in a transaction, or each in one of its own.
type Conn interface {
	Exec(ctx context.Context, text string, args ...any) (affected int64, err error)
	// Query calls each with every row.
	Query(ctx context.Context, text string, args []any, each func(Row) error) error
	// Bytes returns what Row.Scan takes to make p alias the column's bytes,
	// until the next row.
	Bytes(p *[]byte) any
}

// Row is a row of a result.
type Row interface{ Scan(into ...any) error }

// Database is what a store stands on.
type Database interface {
	Conn
	// InTx runs do in a transaction, at READ COMMITTED where there is a choice,
	// and commits it if do says so and fails with nothing.
	InTx(ctx context.Context, do func(Conn) (commit bool, err error)) error
}

// one scans the first row; found is false if there is none.
func one(ctx context.Context, c Conn, text string, args []any, into ...any) (found bool, err error) {
	err = c.Query(ctx, text, args, func(r Row) error {
		found = true
		return r.Scan(into...)
	})
	return found, err
}
