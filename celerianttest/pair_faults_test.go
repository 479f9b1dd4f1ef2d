package celerianttest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

func TestSilentRestart(t *testing.T) {
	inPair(t, celerianttest.PairOptions{RestartSilence: 11 * time.Second}, func(t *testing.T, p *celerianttest.Pair) {
		put(t, p.A(), 1, "a")
		done(t, p.Restart(p.B()))
		r := dial(t, p.B())
		r.send(&msg.DetailsRequest{Key: key(1)})
		r.silent(10999 * time.Millisecond)
		if details, ok := r.recv().(*msg.DetailsResponse); !ok || details.MaxVersion != 1 {
			t.Errorf("%+v", details)
		}
		done(t, p.Restart(p.B()))
		done(t, p.Resume(p.B())) // ends the silence, too
		wantTexts(t, p.B(), "a")
	})
}

// TestRestartedFollowerIsBehind: it holds everything and shows nothing new,
// until its time is over or it has to lead.
func TestRestartedFollowerIsBehind(t *testing.T) {
	inPair(t, celerianttest.PairOptions{RestartBehind: 40 * time.Second}, func(t *testing.T, p *celerianttest.Pair) {
		for round := range uint64(2) {
			before := texts(t, p.A(), key(1))
			done(t, p.Restart(p.B()))
			put(t, p.A(), 2*round+1, "x")
			time.Sleep(20 * time.Second)
			put(t, p.A(), 2*round+2, "y")
			time.Sleep(19 * time.Second)
			wantTexts(t, p.B(), before)
			if round == 0 {
				time.Sleep(1300 * time.Millisecond)
			} else {
				done(t, p.FailOver())
			}
			wantTexts(t, p.B(), texts(t, p.A(), key(1)))
		}
		settled(t, p)
		done(t, p.FailOver())
		put(t, p.A(), 5, "z")
		time.Sleep(time.Second)
		wantTexts(t, p.B(), texts(t, p.A(), key(1))) // to have led has ended it
	})
}

// TestRepeatedBatches: the newest batch a follower had when it was restarted is
// there twice on every read, and everything else is as it was.
func TestRepeatedBatches(t *testing.T) {
	inPair(t, celerianttest.PairOptions{RestartRepeats: true}, func(t *testing.T, p *celerianttest.Pair) {
		put(t, p.A(), 1, "a")
		put(t, p.A(), 2, "b")
		settled(t, p)
		done(t, p.Restart(p.B()))
		put(t, p.A(), 3, "c")
		settled(t, p)
		wantTexts(t, p.B(), "a b b c")
		wantTexts(t, p.A(), "a b c")
		r := dial(t, p.B())
		page := r.call(readFrom(key(1), 2)).(*msg.ReadResponse)
		if len(page.Batches) != 3 || page.Batches[0].Version != 2 || page.Batches[1].Version != 2 || page.Batches[2].Version != 3 {
			t.Errorf("a read from the repeated batch gives %+v", page.Batches)
		}
		if details := r.call(&msg.DetailsRequest{Key: key(1)}).(*msg.DetailsResponse); details.MaxVersion != 3 {
			t.Errorf("details %+v", details)
		}
	})
}

// TestRestartsByChance: with Quirks some restarts are silent for a while, and
// none is without, or when they shall be steady.
func TestRestartsByChance(t *testing.T) {
	silent := func(o celerianttest.PairOptions) (count int) {
		for o.Seed = range 12 {
			inPair(t, o, func(t *testing.T, p *celerianttest.Pair) {
				for range 3 {
					done(t, p.Restart(p.B()))
					r := dial(t, p.B())
					r.send(&msg.DetailsRequest{Key: key(1)})
					_ = r.socket.SetReadDeadline(time.Now().Add(time.Millisecond))
					if _, err := r.in.Peek(1); err != nil {
						count++
					}
					time.Sleep(time.Minute)
					r.close()
				}
			})
		}
		return count
	}
	if n := silent(celerianttest.PairOptions{Options: celerianttest.Options{Quirks: true}}); n < 2 || n > 18 {
		t.Errorf("%d of 36 restarts were silent, want about 9", n)
	}
	if n := silent(celerianttest.PairOptions{Options: celerianttest.Options{Quirks: true}, SteadyRestarts: true}); n != 0 {
		t.Errorf("%d steady restarts were silent", n)
	}
	if n := silent(celerianttest.PairOptions{}); n != 0 {
		t.Errorf("%d restarts were silent without Quirks", n)
	}
}

func TestBothKilled(t *testing.T) {
	inPair(t, celerianttest.PairOptions{}, func(t *testing.T, p *celerianttest.Pair) {
		put(t, p.A(), 1, "a")
		done(t, p.Kill(p.B()))
		done(t, p.Kill(p.A()))
		done(t, p.Kill(p.A())) // does nothing
		if p.Leader() != nil {
			t.Error("a dead node leads")
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := p.AwaitLeader(ctx); err == nil {
			t.Error("a leader among the dead")
		}
		done(t, p.Restart(p.A()))
		leader, err := p.AwaitLeader(context.Background())
		if err != nil || leader != p.A() {
			t.Errorf("the leader is %v, %v", leader, err)
		}
		wantTexts(t, p.A(), "a")
		put(t, p.A(), 2, "b")
	})
}

// TestKillOfAPausedNode ends the pause with the process.
func TestKillOfAPausedNode(t *testing.T) {
	inPair(t, celerianttest.PairOptions{}, func(t *testing.T, p *celerianttest.Pair) {
		done(t, p.Pause(p.B()))
		done(t, p.Restart(p.B()))
		put(t, p.A(), 1, "a")
		settled(t, p)
		wantTexts(t, p.B(), "a")
	})
}

func TestWhatAPairCannotDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := celerianttest.StartPair(celerianttest.PairOptions{Options: celerianttest.Options{InMemory: true}})
		done(t, err)
		other := celerianttest.Run(t, celerianttest.Options{InMemory: true})
		var no *celerianttest.PairError
		done(t, p.Kill(p.B()))
		for name, err := range map[string]error{
			"kill a stranger": p.Kill(other), "restart nobody": p.Restart(nil),
			"pause the dead": p.Pause(p.B()), "fail over to the dead": p.FailOver(),
		} {
			if !errors.As(err, &no) || no.Reason == "" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := p.DialContext(context.Background(), "tcp", "elsewhere:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("an unknown address gives %v", err)
		}
		if _, err := p.DialContext(context.Background(), "tcp", p.B().Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a dead node gives %v", err)
		}
		done(t, p.Close())
		done(t, p.Close())
		for name, err := range map[string]error{
			"restart": p.Restart(p.A()), "fail over": p.FailOver(), "kill": p.Kill(p.A()),
		} {
			if !errors.Is(err, celerianttest.ErrClosed) {
				t.Errorf("%s after the close: %v", name, err)
			}
		}
	})
}

// TestClosedPair answers nobody any more, also not a change that waits.
func TestClosedPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := celerianttest.StartPair(celerianttest.PairOptions{Options: celerianttest.Options{InMemory: true}})
		done(t, err)
		p.HoldAcks()
		w := dial(t, p.A())
		w.send(writeTo(key(1), event(1, "a")))
		w.silent(time.Second)
		awaited := make(chan error)
		go func() { awaited <- p.AwaitSettled(context.Background()) }()
		done(t, p.Kill(p.B()))
		synctest.Wait()
		done(t, p.Close())
		if err := <-awaited; err == nil {
			t.Error("a closed pair settled")
		}
	})
}

func TestPairOptions(t *testing.T) {
	for name, o := range map[string]celerianttest.PairOptions{
		"DataRoot":       {Options: celerianttest.Options{DataRoot: t.TempDir()}},
		"AddressB":       {Options: celerianttest.Options{InMemory: true, Address: "x:1"}, AddressB: "x:1"},
		"Takeover":       {Takeover: -1},
		"Rejoin":         {Rejoin: -1},
		"RestartSilence": {RestartSilence: -1},
		"RestartBehind":  {RestartBehind: -1},
		"Shards":         {Options: celerianttest.Options{Shards: -1}},
	} {
		_, err := celerianttest.StartPair(o)
		var wrong *celerianttest.OptionError
		if !errors.As(err, &wrong) || wrong.Option != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	done(t, err)
	defer taken.Close()
	if _, err := celerianttest.StartPair(celerianttest.PairOptions{AddressB: taken.Addr().String()}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("an address in use gives %v", err)
	}
}

// The leader dies, and the follower takes over.
func ExamplePair() {
	pair, err := celerianttest.StartPair(celerianttest.PairOptions{Takeover: 10 * time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pair.Close()
	fmt.Println("A leads:", pair.Leader() == pair.A())
	if err := pair.Kill(pair.A()); err != nil {
		fmt.Println(err)
	}
	leader, err := pair.AwaitLeader(context.Background())
	fmt.Println("B leads:", leader == pair.B(), err)
	// Output:
	// A leads: true
	// B leads: true <nil>
}
