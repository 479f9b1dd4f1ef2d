package stream_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
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
