package sqlcore

import (
	"fmt"
	"strconv"
	"strings"
)

// Dialect is the SQL of one kind of database.
type Dialect uint8

// The dialects.
const (
	SQLite Dialect = iota + 1
	Postgres
	MySQL
)

// String returns the name of the database.
func (d Dialect) String() string {
	switch d {
	case SQLite:
		return "SQLite"
	case Postgres:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	}
	return fmt.Sprintf("dialect %d", uint8(d))
}

// param is the n-th parameter of a statement, from 1. Statements name each
// parameter once and in order, so that SQLite's can do without numbers: with
// them it takes time quadratic in their count.
func (d Dialect) param(n int) string {
	if d == Postgres {
		return "$" + strconv.Itoa(n)
	}
	return "?"
}

// params are parameters n to n+count-1.
func (d Dialect) params(n, count int) string {
	all := make([]string, count)
	for i := range all {
		all[i] = d.param(n + i)
	}
	return strings.Join(all, ", ")
}

// typed is a parameter in a place that does not tell its type. PostgreSQL
// would take it for text there.
func (d Dialect) typed(n int, kind string) string {
	if d == Postgres {
		return d.param(n) + "::" + kind
	}
	return d.param(n)
}

// quote quotes an identifier.
func (d Dialect) quote(name string) string {
	if d == MySQL {
		return "`" + strings.ReplaceAll(name, "`", "``") + "`"
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// serial tells that a transaction that writes excludes all others, from its
// first statement on.
func (d Dialect) serial() bool { return d == SQLite }

// now is the database's clock in microseconds; SQLite's is this process's.
func (d Dialect) now() string {
	switch d {
	case Postgres:
		return "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
	case MySQL:
		return "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"
	}
	return "0"
}

// locks end a SELECT that keeps others from changing, or also from locking, what
// it returns.
func (d Dialect) forShare() string {
	switch d {
	case Postgres:
		return " FOR SHARE"
	case MySQL:
		return " LOCK IN SHARE MODE"
	}
	return ""
}

func (d Dialect) forUpdate() string {
	if d.serial() {
		return ""
	}
	return " FOR UPDATE"
}

// bytewise is what makes text compare by its bytes.
func (d Dialect) bytewise() string {
	if d == Postgres {
		return ` COLLATE "C"`
	}
	return ""
}

const (
	// portions is the number of different sizes of multi-row statements:
	// powers of two, unused rows are NULL. Few sizes mean few statements for
	// drivers and servers to prepare and keep.
	portions   = 10
	maxPortion = 1 << (portions - 1)
)

// portion is the index of the smallest size that holds rows, which must be 1
// to maxPortion.
func portion(rows int) int {
	p := 0
	for 1<<p < rows {
		p++
	}
	return p
}
