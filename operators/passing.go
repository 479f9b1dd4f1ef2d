package operators

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream"
)

// PassingStore is a checkpoint store that can tell which errors of its database
// pass by themselves, so that the same call may succeed later. The store is asked
// beside the judgement that operators have of their own.
type PassingStore interface {
	Passing(err error) bool
}

// SQLite's result codes for a database in use by somebody else.
const (
	sqliteBusy   = 5
	sqliteLocked = 6
)

// passingClasses and passingStates are the SQLSTATE classes and states after which
// the same transaction may succeed.
var (
	passingClasses = []string{
		"08", // connection trouble
		"40", // rolled back by the server: serialisation, deadlock
		"53", // lack of resources
	}
	passingStates = []string{
		"25006", // read only: a replica, or a server that was demoted
		"25P03", // idle for too long inside a transaction
		"25P04", // the transaction took too long
		"55P03", // lock not available
		"57014", // statement took too long
		"57P01", // shutdown by an administrator
		"57P02", // shutdown after a crash
		"57P03", // starting up, or in recovery
		"57P05", // session idle for too long
	}
)

// passingAnywhere knows database errors by what drivers commonly offer, since
// no driver is imported here: SQLState and SafeToRetry (pgx, pq) and Code
// (modernc.org/sqlite).
func passingAnywhere(err error) bool {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return true
	}
	var safe interface{ SafeToRetry() bool }
	if errors.As(err, &safe) && safe.SafeToRetry() {
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

// passingStatement also knows a lost connection and a driver's timeout.
// passingStatement is asked about our own statements only: a handler's network
// error may come from anywhere.
func passingStatement(err error) bool {
	var network net.Error // has Timeout, too
	return passingAnywhere(err) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// passes reports whether the error of a handler is one of a database that passes.
func (s *settings) passes(store checkpoint.Store, err error) bool {
	var panicked *PanicError
	return !errors.As(err, &panicked) && (passingAnywhere(err) || s.passing(err) || storePassing(store, err))
}

// passesStatement is the judgement of our own statements.
func (s *settings) passesStatement(store checkpoint.Store, err error) bool {
	return !errors.Is(err, checkpoint.ErrFenced) && !errors.Is(err, checkpoint.ErrClosed) &&
		(passingStatement(err) || s.passing(err) || storePassing(store, err))
}

func storePassing(store checkpoint.Store, err error) bool {
	p, ok := store.(PassingStore)
	return ok && p.Passing(err)
}

// open opens the subscription. A database that is away for a while is waited for.
func (s *settings) open(ctx context.Context, src Source) (stream.Consumer, error) {
	var store checkpoint.Store
	if known, ok := src.(StoreSource); ok {
		store = known.Store()
	}
	pace, began := newPace(), time.Now()
	for {
		sub, err := src.Open(ctx)
		if err == nil || !s.passesStatement(store, err) || s.retry > 0 && time.Since(began) >= s.retry {
			return sub, err
		}
		wait := pace.NextBackOff()
		s.logger.Warn("opening the subscription failed, trying again", "cause", err, "next", time.Now().Add(wait))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, errors.Join(context.Cause(ctx), err)
		}
	}
}
