package msg_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

// The table of protocol section 14.3, and what a client must conclude.
func TestCodes(t *testing.T) {
	ambiguous := []msg.Code{2007, 2008, 2009, 2010, 2025, 2026, 2028, 2029, 3001, 3002, 3003, 4003, 4004, 4005}
	retry := []msg.Code{1002, 1003, 1004, 1005, 2011, 2012, 2013, 2027, 3005, 3006, 4006, 4007, 5000, 5001, 5002, 7000, 7002, 8002, 8003, 8004, 8005, 11000}
	classes := map[msg.Class][]msg.Code{
		msg.ClassRedirect:  {2011, 2027, 3005, 4006},
		msg.ClassBusy:      {2012, 3006, 4007, 8005, 11000},
		msg.ClassConflict:  {2003, 4002},
		msg.ClassDuplicate: {2002},
		msg.ClassAuth:      {10001, 10002, 10003, 10004, 10005, 10006, 10007},
		msg.ClassTransient: {1002, 1003, 1004, 1005, 2007, 2008, 2009, 2010, 2013, 2025, 2026, 2028, 2029, 3001, 3002, 3003,
			4003, 4004, 4005, 5000, 5001, 5002, 7000, 7002, 8002, 8003, 8004},
	}
	known := 0
	for code := msg.Code(0); code < 12000; code++ {
		if !code.Known() {
			continue
		}
		known++
		want := msg.ClassFinal
		for class, codes := range classes {
			if contains(codes, code) {
				want = class
			}
		}
		if code.Class() != want {
			t.Errorf("%v is %v, want %v", code, code.Class(), want)
		}
		if got := code.Ambiguous(); got != contains(ambiguous, code) {
			t.Errorf("%v: ambiguous %v", code, got)
		}
		if got := code.SafeToRetry(); got != contains(retry, code) {
			t.Errorf("%v: safe to retry %v", code, got)
		}
	}
	if known != 68 {
		t.Errorf("%d codes are known, the protocol has 68", known)
	}
	if c := msg.Code(4711); !c.Ambiguous() || c.SafeToRetry() || c.Class() != msg.ClassFinal {
		t.Error("an unknown code must be taken for the worst")
	}
}

func contains(codes []msg.Code, code msg.Code) bool {
	for _, c := range codes {
		if c == code {
			return true
		}
	}
	return false
}

func TestServerErrorMatchesSentinels(t *testing.T) {
	all := []error{
		msg.ErrNotFound, msg.ErrTrimmed, msg.ErrConflict, msg.ErrDuplicate, msg.ErrInFlight, msg.ErrNotRecreatable,
		msg.ErrNotLeader, msg.ErrBusy, msg.ErrSchema, msg.ErrRouting, msg.ErrUnauthorized,
	}
	for code, want := range map[msg.Code]error{
		1000: msg.ErrTrimmed, 1001: msg.ErrNotFound, 2005: msg.ErrNotFound, 3000: msg.ErrNotFound, 4000: msg.ErrNotFound,
		7001: msg.ErrNotFound, 2003: msg.ErrConflict, 4002: msg.ErrConflict, 2002: msg.ErrDuplicate, 2013: msg.ErrInFlight,
		2006: msg.ErrNotRecreatable, 2011: msg.ErrNotLeader, 2027: msg.ErrNotLeader, 3005: msg.ErrNotLeader, 4006: msg.ErrNotLeader,
		2012: msg.ErrBusy, 11000: msg.ErrBusy, 2022: msg.ErrSchema, 9001: msg.ErrRouting, 9002: msg.ErrRouting, 10007: msg.ErrUnauthorized,
	} {
		err := fmt.Errorf("writing: %w", &msg.ServerError{Code: code})
		for _, sentinel := range all {
			if got := errors.Is(err, sentinel); got != (sentinel == want) {
				t.Errorf("%v is %q: %v", code, sentinel, got)
			}
		}
	}
}

func TestErrorFields(t *testing.T) {
	for text, want := range map[string]msg.ErrorFields{
		`{"requested":1,"minimum_available":18446744073709551615}`: {Requested: msg.Some(uint64(1)), MinimumAvailable: msg.Some(^uint64(0))},
		`{"leader_address":"10.0.0.1:10000"}`:                      {LeaderAddress: msg.Some("10.0.0.1:10000")},
		`{"detail":"no \"shard\" 9","num_shards":4}`:               {Detail: msg.Some(`no "shard" 9`), NumShards: msg.Some(uint64(4))},
		`{"schema_type":0,"parse_error":"bad"}`:                    {SchemaType: msg.Some(uint64(0)), Detail: msg.Some("bad")},
		`{"requested":-1,"num_shards":"4","is_inline":true}`:       {Inline: msg.Some(true)},
		`{"detail":RollbackInProgress}`:                            {},
		`{a}`:                                                      {},
		`client id 1 differs`:                                      {},
		``:                                                         {},
	} {
		if got := msg.ParseErrorFields(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func TestServerErrorText(t *testing.T) {
	err := msg.NewServerError(&msg.ErrorResponse{Code: 2003, Message: `{"expected_version":1,"current_aggregate_version":2}`}, "127.0.0.1:10000")
	want := `node 127.0.0.1:10000 answered 2003 version guard failed: {"expected_version":1,"current_aggregate_version":2}`
	if err.Error() != want {
		t.Errorf("%s", err)
	}
	if err := msg.NewServerError(&msg.ErrorResponse{Code: 4711, Message: "{}"}, ""); err.Error() != "node answered 4711 unknown error" {
		t.Errorf("%s", err)
	}
}
