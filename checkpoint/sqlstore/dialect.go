package sqlstore

import "github.com/celeriant/celeriant-go/checkpoint/internal/sqlcore"

// Dialect is the SQL of one kind of database.
type Dialect uint8

// The dialects. MySQL is MariaDB's, too.
const (
	SQLite   = Dialect(sqlcore.SQLite)
	Postgres = Dialect(sqlcore.Postgres)
	MySQL    = Dialect(sqlcore.MySQL)
)

// String returns the name of the database.
func (d Dialect) String() string { return sqlcore.Dialect(d).String() }
