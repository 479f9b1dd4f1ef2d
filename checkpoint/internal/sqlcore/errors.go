package sqlcore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"syscall"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// ErrBusy: the database could not serve a transaction beside others.
var ErrBusy = errors.New("database busy")

// explain says what was being done. Refusals say enough already.
func (s *Store) explain(ctx context.Context, doing, name string, err error) error {
	if err == nil || checkpoint.IsRefusal(err) {
		return err
	}
	// Drivers answer a context that ends in their own ways: interrupted,
	// cancelled on user request, transaction done.
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if busy(err) {
		err = fmt.Errorf("%w: %w", ErrBusy, err)
	}
	if name == "" {
		return fmt.Errorf("%s: %s %s* in %v: %w", s.options.Package, doing, s.options.Prefix, s.dialect, err)
	}
	return fmt.Errorf("%s: %s %q in %v: %w", s.options.Package, doing, name, s.dialect, err)
}

// state is the error's SQLSTATE, "" if it has none. Drivers of PostgreSQL answer
// by it.
func state(err error) string {
	if s, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return s.SQLState()
	}
	return ""
}

// code is SQLite's primary result code, 0 if the error has none: what a method
// Code returns, or the field of that name in drivers without one.
func code(err error) int {
	if c, ok := errors.AsType[interface {
		error
		Code() int
	}](err); ok {
		return c.Code() & 0xff
	}
	if v := field(err, "Code", reflect.Int); v.IsValid() {
		return int(v.Int()) & 0xff
	}
	return 0
}

// mysqlDuplicate is MySQL's number for a row whose key is there already.
const mysqlDuplicate = 1062

// number is MySQL's number of an error, 0 if it has none: the field Number of the
// driver's error, which has no method for it.
func number(err error) uint16 {
	if v := field(err, "Number", reflect.Uint16); v.IsValid() {
		return uint16(v.Uint())
	}
	return 0
}

// field is a field of the first error in the tree that has one of this name and
// kind; not valid if there is none.
func field(err error, name string, kind reflect.Kind) reflect.Value {
	if err == nil {
		return reflect.Value{}
	}
	v := reflect.Indirect(reflect.ValueOf(err))
	if v.IsValid() && v.Kind() == reflect.Struct {
		if f := v.FieldByName(name); f.IsValid() && f.Kind() == kind {
			return f
		}
	}
	switch wrapped := err.(type) {
	case interface{ Unwrap() error }:
		return field(wrapped.Unwrap(), name, kind)
	case interface{ Unwrap() []error }:
		for _, e := range wrapped.Unwrap() {
			if f := field(e, name, kind); f.IsValid() {
				return f
			}
		}
	}
	return reflect.Value{}
}

// conflict recognises transactions that lost against others and were rolled
// back: a serialization failure or a deadlock.
func conflict(err error) bool {
	switch state(err) {
	case "40001", "40P01":
		return true
	}
	return number(err) == 1213
}

// busy recognises lock conflicts, without naming a driver.
func busy(err error) bool {
	c := code(err)
	return errors.Is(err, errRaced) || conflict(err) || state(err) == "55P03" || number(err) == 1205 || c == sqliteBusy || c == sqliteLocked
}

// SQLite's primary result codes.
const (
	sqliteBusy   = 5
	sqliteLocked = 6
	sqliteFull   = 13
)

// Passing reports whether the error is one that passes: repeating the whole
// transaction later may succeed without anybody changing it. Passing does not
// tell whether a commit that failed took effect.
func (s *Store) Passing(err error) bool {
	if err == nil || checkpoint.IsRefusal(err) {
		return false
	}
	if errors.Is(err, ErrBusy) || busy(err) || s.options.Passing != nil && s.options.Passing(err) {
		return true
	}
	if t := state(err); t != "" {
		return passingState(t)
	}
	if n := number(err); n != 0 {
		return passingNumber(n)
	}
	if code(err) == sqliteFull {
		return true
	}
	return passingConnection(err)
}

// passingState judges by SQLSTATE.
func passingState(t string) bool {
	switch t {
	case "25006", // read-only, as a former primary after a failover is
		"25P03", "25P04", "57P05", // idle for too long, transaction for too long
		"57014": // cancelled, by a statement time-out above all
		return true
	}
	switch {
	case strings.HasPrefix(t, "08"), // connection
		strings.HasPrefix(t, "53"),  // out of disk, memory, connections
		strings.HasPrefix(t, "57P"), // shutting down, starting up
		strings.HasPrefix(t, "58"):  // an error of the system below
		return true
	}
	return false
}

// passingNumber judges by MySQL's number.
func passingNumber(n uint16) bool {
	switch n {
	case 1021, 1114, // disk or table full
		1040, 1203, // too many connections
		1053, 1927, 1152, 1158, 1159, 1160, 1161, 2006, 2013, // shutting down, connection killed
		1205, 1213, // lock wait, deadlock
		1290, 1792, 1836, // read-only
		1317, 1969, 3024: // interrupted, took too long
		return true
	}
	return false
}

// passingConnection judges errors that the database did not give.
func passingConnection(err error) bool {
	if safe, ok := errors.AsType[interface {
		error
		SafeToRetry() bool
	}](err); ok && safe.SafeToRetry() {
		return true
	}
	if late, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && late.Timeout() {
		return true
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	for _, known := range []error{
		driver.ErrBadConn, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.ECONNABORTED, syscall.EPIPE,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
