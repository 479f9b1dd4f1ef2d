package stream_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// logged keeps the lines of a log.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// count is the number of lines that hold a text.
func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

const (
	lagBegins = `msg="the follower that is watched lags, the leader is read instead"`
	lagEnds   = `msg="the follower keeps up again"`
	lagLeft   = `msg="the follower that lagged is watched no more"`
)

// A follower that lags has one line in the log when that begins, and one when it is over;
// of one that lags again and again only the first two, within half a minute.
func TestALaggingFollowerIsLogged(t *testing.T) {
	log := new(logged)
	so := stream.Options{Followers: true, MaxLag: time.Minute, Logger: slog.New(slog.NewTextHandler(log, nil))}
	inPair(t, celerianttest.PairOptions{}, so, func(x *paired) {
		for n := range 3 {
			x.pair.FreezeLag()
			x.mustWrite(keyOf(0), fmt.Sprint(n))
			time.Sleep(4500 * time.Millisecond)
			if lag := x.sub.Stats().Lag; lag < time.Second {
				t.Fatalf("a lag of %v", lag)
			}
			x.pair.ThawLag()
			time.Sleep(4500 * time.Millisecond)
			if lag := x.sub.Stats().Lag; lag != 0 {
				t.Fatalf("a lag of %v after it", lag)
			}
			if want := min(n+1, 2); log.count(lagBegins) != want || log.count(lagEnds) != want {
				t.Errorf("after %d lags the log has %d begins and %d ends, want %d", n+1, log.count(lagBegins), log.count(lagEnds), want)
			}
		}
		if n := log.count(lagLeft); n > 0 {
			t.Errorf("the log says %d times that the follower was left", n)
		}
		if n := log.count("node=node-b:10000"); n != 4 {
			t.Errorf("%d lines name the follower, want 4", n)
		}
	})
}

// A node that is away has a few lines in the log, not one for each attempt, and the phase began
// when it began.
func TestConnectingIsNotLoggedAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
		p := newPool(t, pool.Options{Address: "away.example:1", Dial: refuse})
		defer func() { _ = p.Close(context.Background()) }() // nothing is under way
		log, began := new(logged), time.Now()
		sub, err := stream.Open(t.Context(), stream.FromPool(p), stream.Types(org, typ), stream.Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer closeNow(t, sub)
		time.Sleep(20 * time.Second)
		if s := sub.State(); s.Phase != stream.Connecting || s.Cause == nil || s.Since.Sub(began) > time.Second {
			t.Errorf("after 20 s the state is %v since %v", s, s.Since.Sub(began))
		}
		if lines := log.count("msg="); lines > 4 {
			t.Errorf("the log has %d lines of a node that is away for 20 s", lines)
		}
	})
}

// A follower that lags too far is left, and the log says so.
func TestAFollowerThatIsLeftIsLogged(t *testing.T) {
	log := new(logged)
	so := stream.Options{Followers: true, Logger: slog.New(slog.NewTextHandler(log, nil))}
	inPair(t, celerianttest.PairOptions{}, so, func(x *paired) {
		x.pair.FreezeLag()
		x.mustWrite(keyOf(0), "unseen")
		time.Sleep(20 * time.Second)
		if begun, left := log.count(lagBegins), log.count(lagLeft); begun != 1 || left != 1 || x.sub.Stats().Moves != 1 {
			t.Errorf("the log has %d begins and %d ends of %d moves, want 1 of each", begun, left, x.sub.Stats().Moves)
		}
	})
}
