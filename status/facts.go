package status

import "time"

// Facts are what a consumer tells of itself, without words. [Page.Watch] takes them from
// a running subscription; other sources, such as a gateway, build their own.
type Facts struct {
	Name string
	// Phase is what the subscription is doing, since Since.
	Phase Phase
	Since time.Time
	// Cause is why the phase was entered, where something failed; after the end, why
	// the subscription ended.
	Cause string
	// Fenced tells that another owner took the subscription over; NewOwner names it
	// where the store tells, and NewOwnerAlive whether it is heard of.
	Fenced        bool
	NewOwner      string
	NewOwnerAlive bool
	// Retrying lists what is being tried again.
	Retrying []Retry
	// Unhandled counts versions known and not committed; OldestPending is the
	// node's time of the oldest of them, zero when there is none.
	Unhandled     uint64
	OldestPending time.Time
	// Uncommitted counts changes handed to the consumer and not stored, which a crash
	// repeats; negative when that is not known.
	Uncommitted int64
	// Parked counts parked aggregates, OldestParked is since when the first of them is.
	// Unreadable counts those that rest since a batch of theirs cannot be read.
	Parked       int
	OldestParked time.Time
	Unreadable   int
	// Culprit names the aggregate, version and error of the failing handler.
	Culprit string
	// Partitions counts the partitions owned here, OfPartitions all of them; both are 0 for
	// a consumer that is not shared.
	Partitions, OfPartitions int
	// Batches counts batches delivered; LastCommit is when cursors were stored last.
	Batches    uint64
	LastCommit time.Time
	// Listed and Listing tell how far reconciling has come: aggregates seen, shards
	// under way.
	Listed, Listing int
	CaughtUp        bool
	// Buffered is what was read ahead of the consumer, in bytes, of Buffer at most.
	Buffered, Buffer int64
	// Follower is the follower that lags, Lag for how long it has.
	Follower string
	Lag      time.Duration
	Shards   []Shard
}

// Phase is what a subscription is doing.
type Phase int

// The phases, in the words of the page.
const (
	Connecting Phase = iota
	CatchingUp
	Live
	Reconnecting
	Queued
	Closed
)

// String returns the phase in words.
func (p Phase) String() string {
	return [...]string{"connecting", "catching up", "live", "reconnecting", "queued", "closed"}[min(max(p, Connecting), Closed)]
}

// trail is the recent past of one consumer: what a rate and a trend are made of. A trail
// holds at most mostSamples samples.
type trail struct {
	samples []sample
}

type sample struct {
	at        time.Time
	batches   uint64
	unhandled uint64
}

const (
	mostSamples = 60
	// sampleEvery keeps several pages from filling the trail faster than one would.
	sampleEvery = time.Second
	// trendOver is how many samples a trend looks back.
	trendOver = 5
)

// add notes a sample, unless the last one is too young.
func (t *trail) add(now time.Time, f *Facts) {
	if n := len(t.samples); n > 0 && now.Sub(t.samples[n-1].at) < sampleEvery {
		return
	}
	if len(t.samples) == mostSamples {
		t.samples = append(t.samples[:0], t.samples[1:]...)
	}
	t.samples = append(t.samples, sample{at: now, batches: f.Batches, unhandled: f.Unhandled})
}

// rates returns batches per second between neighbouring samples, the newest last.
func (t *trail) rates() []float64 {
	if len(t.samples) < 2 {
		return nil
	}
	rates := make([]float64, 0, len(t.samples)-1)
	for i := 1; i < len(t.samples); i++ {
		from, to := t.samples[i-1], t.samples[i]
		rate := 0.0
		if to.batches > from.batches {
			rate = float64(to.batches-from.batches) / to.at.Sub(from.at).Seconds()
		}
		rates = append(rates, rate)
	}
	return rates
}

// pace is the rate over the last samples, in batches per second, 0 when unknown.
func (t *trail) pace() float64 {
	n := len(t.samples)
	if n < 2 {
		return 0
	}
	from, to := t.samples[max(0, n-1-trendOver)], t.samples[n-1]
	if to.batches <= from.batches {
		return 0
	}
	return float64(to.batches-from.batches) / to.at.Sub(from.at).Seconds()
}

// trend is +1 when the backlog grew over the last samples, -1 when it shrank.
func (t *trail) trend() int {
	n := len(t.samples)
	if n < 2 {
		return 0
	}
	from, to := t.samples[max(0, n-1-trendOver)].unhandled, t.samples[n-1].unhandled
	switch {
	case to > from:
		return 1
	case to < from:
		return -1
	}
	return 0
}
