package status

import (
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

// situations are what a person on call meets; each must be told by its sentence alone.
var situations = []struct {
	name  string
	facts Facts
	past  []sample
	level Level
	says  string
	proof string
	next  string
}{
	{
		name:  "live",
		facts: Facts{Name: "orders", Phase: Live, Since: ago(2 * time.Hour), CaughtUp: true, LastCommit: ago(200 * time.Millisecond)},
		level: Fine,
		says:  "Live since 10:00:00, all handled",
		proof: "last commit 0.2 s ago",
	},
	{
		name:  "live with a backlog",
		facts: Facts{Name: "orders", Phase: Live, Since: ago(time.Minute), CaughtUp: true, Unhandled: 12000, OldestPending: ago(3 * time.Second)},
		level: Fine,
		says:  "Live since 11:59:00, 12.0 k unhandled",
	},
	{
		name: "catching up",
		facts: Facts{
			Name: "orders", Phase: CatchingUp, Since: ago(time.Minute), Batches: 1_200_000, Unhandled: 2_800_000,
			Uncommitted: 512, Buffer: 100, Buffered: 90,
		},
		past:  []sample{{ago(2 * time.Second), 1_120_000, 2_900_000}, {ago(0), 1_200_000, 2_800_000}},
		level: Busy,
		says:  "Catching up: 1.20 M of 4.00 M, 40.0 k/s, about 1 min 10 s",
		proof: "the consumer brakes: the buffer is full; handed out and not stored: 512, repeated after a crash",
	},
	{
		name:  "catching up while shards are listed",
		facts: Facts{Name: "orders", Phase: CatchingUp, Since: ago(time.Second), Batches: 10, Unhandled: 20, Listing: 2},
		level: Busy,
		says:  "Catching up: 10 of at least 30, 2 shards still listed",
		proof: "the node brakes: the buffer is empty; a restart repeats nothing",
	},
	{
		name: "handler failing",
		facts: Facts{
			Name: "payments", Phase: Live, Since: ago(3 * time.Hour), CaughtUp: true, Unhandled: 4, OldestPending: ago(252 * time.Second),
			Retrying: []Retry{{What: "handler", Since: ago(2 * time.Minute), Error: "payment 503", Attempts: 7, Next: noon.Add(12 * time.Second)}},
			Culprit:  "1/2/3 version 9",
		},
		level: Attention,
		says:  "Retrying handler since 11:58:00 (attempt 7): payment 503",
		proof: "1/2/3 version 9",
		next:  "retries in 12 s, attempt 8",
	},
	{
		name: "store away",
		facts: Facts{
			Name: "orders", Phase: Live, Since: ago(time.Hour), CaughtUp: true, Uncommitted: 31,
			Retrying: []Retry{
				{What: "node", Since: ago(time.Hour), Error: "slow", Attempts: 1},
				{What: "store", Since: ago(time.Minute), Error: "connection refused", Attempts: 3},
			},
		},
		level: Attention,
		says:  "Not storing since 11:59:00: connection refused; handling pauses",
		proof: "handed out and not stored: 31, repeated after a crash",
		next:  "attempt 4 is under way",
	},
	{
		name: "database away",
		facts: Facts{
			Name: "orders", Phase: Live, Since: ago(time.Hour), CaughtUp: true, Unhandled: 12, OldestPending: ago(40 * time.Second),
			Retrying: []Retry{{What: "database", Since: ago(40 * time.Second), Error: "the server is in recovery", Attempts: 5, Next: noon.Add(4 * time.Second)}},
		},
		level: Attention,
		says:  "Retrying database since 11:59:20 (attempt 5): the server is in recovery",
		next:  "retries in 4.0 s, attempt 6",
	},
	{
		name:  "parked",
		facts: Facts{Name: "orders", Phase: Live, Since: ago(time.Hour), CaughtUp: true, Parked: 3, OldestParked: ago(2 * time.Hour)},
		level: Attention,
		says:  "Live; 3 parked, oldest 2 h 0 min; all else handled",
		next:  "release a parked aggregate, or skip one version of it",
	},
	{
		name:  "shared",
		facts: Facts{Name: "orders", Phase: Live, Since: ago(time.Hour), CaughtUp: true, LastCommit: ago(time.Second), Partitions: 21, OfPartitions: 64},
		says:  "Live since 11:00:00, all handled",
		proof: "last commit 1.0 s ago; 21 of 64 partitions here",
	},
	{
		name: "nothing committed",
		facts: Facts{
			Name: "orders", Phase: Live, Since: ago(time.Hour), CaughtUp: true, Unhandled: 9, OldestPending: ago(time.Second),
			Cause: "too many aggregates have changes that are delivered and not committed",
		},
		level: Attention,
		says:  "Live since 11:00:00, 9 unhandled; nothing further is read: too many aggregates have changes that are delivered and not committed",
		next:  "the consumer must commit what it was given",
	},
	{
		name:  "hanging handler",
		facts: Facts{Name: "orders", Phase: Live, Since: ago(time.Hour), CaughtUp: true, Unhandled: 3, OldestPending: ago(80 * time.Second), LastCommit: ago(90 * time.Second)},
		level: Attention,
		says:  "Live since 11:00:00, 3 unhandled, the oldest for 1 min 20 s",
		proof: "last commit 1 min 30 s ago",
		next:  "nothing fails: a handler hangs or is slow, and the log names it",
	},
	{
		name:  "unreadable batch",
		facts: Facts{Name: "orders", Phase: Live, Since: ago(time.Hour), CaughtUp: true, Unreadable: 1, LastCommit: ago(time.Second), Unhandled: 2},
		level: Attention,
		says:  "Live; 1 unreadable; 2 unhandled",
		proof: "last commit 1.0 s ago",
		next:  "an unreadable aggregate goes on once its batch can be read again or was trimmed",
	},
	{
		name:  "lost lease",
		facts: Facts{Name: "orders", Phase: Closed, Since: ago(time.Hour), Fenced: true, NewOwner: "web-7", NewOwnerAlive: true, CaughtUp: true},
		level: Ended,
		says:  "Fenced at 11:00:00 by web-7",
		proof: "web-7 is alive and owns it now",
		next:  "the new owner goes on; nothing to do here",
	},
	{
		name:  "ended by its handler",
		facts: Facts{Name: "orders", Phase: Closed, Since: ago(time.Hour), Cause: "order has no\nlines", Uncommitted: 1},
		level: Ended,
		says:  "Ended at 11:00:00: order has no lines",
		proof: "handed out and not stored: 1, repeated after a crash",
		next:  "nothing until the program subscribes again",
	},
	{
		name:  "lagging follower",
		facts: Facts{Name: "orders", Phase: Live, Since: ago(time.Hour), CaughtUp: true, Follower: "10.0.0.2:10000", Lag: 6100 * time.Millisecond},
		level: Attention,
		says:  "Follower 10.0.0.2:10000 is 6.1 s behind the leader; the leader is read instead",
		next:  "the watch moves to the leader when the lag passes its bound",
	},
	{
		name:  "leader demoted",
		facts: Facts{Name: "orders", Phase: Reconnecting, Since: ago(time.Second), CaughtUp: true, Cause: "shard 0: 10.0.0.1:10000 does not lead any more"},
		level: Attention,
		says:  "Reconnecting since 11:59:59: shard 0: 10.0.0.1:10000 does not lead any more",
		next:  "retries by itself, with pauses of at most a few seconds",
	},
	{
		name:  "just started",
		facts: Facts{Name: "orders", Phase: Connecting, Since: ago(time.Second)},
		level: Busy,
		says:  "Connecting since 11:59:59",
	},
}

func TestDescribe(t *testing.T) {
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			c := describe(&s.facts, &trail{samples: s.past}, noon)
			if c.Level != s.level {
				t.Errorf("level %v, want %v", c.Level, s.level)
			}
			if c.Says != s.says {
				t.Errorf("says %q, want %q", c.Says, s.says)
			}
			if s.proof != "" && c.Proof != s.proof {
				t.Errorf("proof %q, want %q", c.Proof, s.proof)
			}
			if s.next != "" && c.Next != s.next {
				t.Errorf("next %q, want %q", c.Next, s.next)
			}
		})
	}
}

func TestSentenceCountsWhoNeedsAttention(t *testing.T) {
	var consumers []Consumer
	for _, s := range situations[:6] {
		consumers = append(consumers, describe(&s.facts, &trail{}, noon))
	}
	if got, want := sentence(consumers), "2 of 6 consumers need attention; oldest unhandled change 4 min 12 s."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := sentence(consumers[:1]), "The consumer needs no attention; everything known is handled."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := sentence(consumers[5:6]), "1 of 1 consumer needs attention; everything known is handled."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A consumer without a node knows of nothing new: the sentence must not sound as if nothing waited.
func TestSentenceSaysWhoCannotHear(t *testing.T) {
	away := describe(&Facts{Name: "orders", Phase: Connecting, Since: ago(time.Minute), Cause: "connection refused"}, &trail{}, noon)
	if got, want := sentence([]Consumer{away}), "1 of 1 consumer needs attention; everything known is handled, but 1 cannot hear of more."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A handler that is tried again has something to handle, whatever the subscription counts.
func TestNothingIsHandledThatIsRetried(t *testing.T) {
	retry := []Retry{{What: "handler", Since: ago(2 * time.Minute), Error: "payment 503", Attempts: 7}}
	c := describe(&Facts{Name: "orders", Phase: Live, Since: ago(time.Hour), CaughtUp: true, Retrying: retry}, &trail{}, noon)
	if c.Unhandled != 1 || c.OldestPending != 120 {
		t.Errorf("%d unhandled, the oldest for %v s; want 1 for 120", c.Unhandled, c.OldestPending)
	}
	if got, want := sentence([]Consumer{c}), "1 of 1 consumer needs attention; oldest unhandled change 2 min 0 s."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTrendAndRatesComeFromSamples(t *testing.T) {
	var past trail
	for i := range 3 * mostSamples {
		past.add(noon.Add(time.Duration(i)*sampleEvery), &Facts{Batches: uint64(i * 10), Unhandled: uint64(1000 - i)})
	}
	if len(past.samples) != mostSamples {
		t.Fatalf("%d samples are held, want %d", len(past.samples), mostSamples)
	}
	if past.trend() != -1 || past.pace() != 10 {
		t.Errorf("trend %d, pace %v; want -1 and 10", past.trend(), past.pace())
	}
	past.add(noon.Add(3*mostSamples*sampleEvery-sampleEvery/2), &Facts{Unhandled: 1 << 20})
	if past.trend() != -1 {
		t.Error("a sample younger than the interval was taken")
	}
	past.add(noon.Add(3*mostSamples*sampleEvery), &Facts{Unhandled: 1 << 20})
	if past.trend() != 1 {
		t.Error("a growing backlog shows no trend")
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[31m\nb")
	f.Add("\u202egnp.exe")
	f.Fuzz(func(t *testing.T, text string) {
		got := clean(text)
		if n := len([]rune(got)); n > longestText+1 {
			t.Fatalf("%d characters", n)
		}
		if strings.ContainsAny(got, "\x1b\n\r\u202e\x00") {
			t.Fatalf("%q holds a character that moves the cursor", got)
		}
	})
}
