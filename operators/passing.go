package operators

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"
)

// SQLite's result codes for a database in use by somebody else.
const (
	sqliteBusy   = 5
	sqliteLocked = 6
)

// passingStates are the SQLSTATE classes and states after which the same
// transaction may succeed: connection trouble, rollback by the server
// (serialisation, deadlock), lack of resources, shutdown, lock not available.
var passingClasses, passingStates = []string{"08", "40", "53"}, []string{"57P01", "57P02", "57P03", "55P03"}

// passingAnywhere knows database errors by what drivers commonly offer, since
// no driver is imported here: SQLState (pgx, pq) and Code (modernc.org/sqlite).
func passingAnywhere(err error) bool {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return true
	}
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		s := state.SQLState()
		return len(s) == 5 && (slices.Contains(passingClasses, s[:2]) || slices.Contains(passingStates, s))
	}
	var sqlite interface{ Code() int }
	if errors.As(err, &sqlite) {
		primary := sqlite.Code() & 0xff // extended codes keep the primary one in the low byte
		return primary == sqliteBusy || primary == sqliteLocked
	}
	return false
}

// passingStatement also knows a lost connection. It is asked about our own
// statements only: a handler's network error may come from anywhere.
func passingStatement(err error) bool {
	var network net.Error
	return passingAnywhere(err) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
