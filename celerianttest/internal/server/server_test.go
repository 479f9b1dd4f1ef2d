package server

import (
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/internal/memnet"
	"github.com/celeriant/celeriant-go/celerianttest/internal/route"
)

func TestTruncatedMessages(t *testing.T) {
	tests := []struct {
		message string
		limit   int
		want    string
	}{
		{"short", 10, "short"},
		{"plain text that is too long", 10, "plain text"},
		{"naïve", 3, "na"},
		{`{"n":1,"detail":"abcdefgh"}`, 22, `{"n":1,"detail":"abc"}`},
		{`{"detail":"ab\"cdefgh"}`, 15, `{"detail":"ab"}`},
		{`{"detail":"ab\u0001cdefgh"}`, 19, `{"detail":"ab"}`},
		{`{"detail":"ab\u0001cdefgh"}`, 21, `{"detail":"ab\u0001"}`},
		{`{"detail":"aé€"}`, 16, `{"detail":"aé"}`},
		{`{"detail":"aé€"}`, 15, `{"detail":"a"}`},
		{`{"detail":"abc","n":123456789}`, 20, `{"detail":"abc"}`},
		{`{"n":12345678901234567890}`, 20, `{}`},
	}
	for _, test := range tests {
		got := truncateMessage(test.message, test.limit)
		if got != test.want || len(got) > test.limit {
			t.Errorf("%q to %d: %q, want %q", test.message, test.limit, got, test.want)
		}
	}
}

// A connection that is accepted while its run ends is not served, since nobody would end it.
func TestConnectionAcceptedTooLate(t *testing.T) {
	s := &Server{Router: route.Router{Shards: 1}}
	ended := NewRun(s)
	ended.End()
	mine, other := memnet.Pair("a", "b", 100)
	defer other.Close()
	c := newConn(ended, mine)
	defer c.end()
	if ended.add(c) {
		t.Fatal("a connection was added to a run that is over")
	}
}
