package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

const (
	reportInterval = time.Second
	// reportGrace is how long a terminal that is stopped holds up the end.
	reportGrace = time.Second
	// waitingStates bounds the states that wait for such a terminal; more are
	// left out.
	waitingStates = 256
	clearLine     = "\r\x1b[K"
)

// reporter prints on standard error what state a subscription is in, how much of it was
// handled, and how much is not.
type reporter struct {
	out      io.Writer
	command  string // whose lines these are
	json     bool
	progress bool // tell each second, too
	redraw   bool // on the same line of a terminal
	stats    func() stream.Stats

	changes, events atomic.Uint64
	late            atomic.Int64 // milliseconds of the last batch when it was printed, noBatch before

	states chan stream.State
	errors chan error // of the store or the handler
	quit   chan struct{}
	done   chan struct{}
}

const noBatch = -1

func newReporter(out io.Writer, command string) *reporter {
	r := &reporter{out: out, command: command, states: make(chan stream.State, waitingStates), errors: make(chan error, waitingStates), quit: make(chan struct{}), done: make(chan struct{})}
	r.late.Store(noBatch)
	return r
}

// count takes in a change that is being printed.
func (r *reporter) count(c *stream.Change) {
	r.changes.Add(1)
	if c.Kind != stream.Batch {
		return
	}
	r.events.Add(uint64(len(c.Batch.Events)))
	r.late.Store(max(0, time.Now().UnixMilli()-int64(c.Batch.ServerTimestamp)))
}

// observe takes in a state. It never waits.
func (r *reporter) observe(s stream.State) {
	if s.Phase == stream.Closed {
		return // the end is told by end, once
	}
	select {
	case r.states <- s:
	default:
	}
}

// reportError takes in why positions cannot be stored for now. It never waits.
func (r *reporter) reportError(err error) {
	select {
	case r.errors <- err:
	default:
	}
}

// failed takes in that a handler failed and what follows. It never waits.
func (r *reporter) failed(v operators.VerdictInfo) {
	if v.Verdict == operators.Retry && v.Failure.Attempt > 1 {
		return // told once; the state shows that it goes on
	}
	r.reportError(fmt.Errorf("%v of %v version %d: %w", v.Verdict, v.Failure.Change.Key, v.Failure.Change.Batch.Version, v.Failure.Err))
}

// parked takes in that an aggregate was parked. It never waits.
func (r *reporter) parked(p operators.ParkedInfo) {
	r.reportError(fmt.Errorf("parked %v at version %d after %d attempts: %w", p.Key, p.Version, p.Attempts, p.Err))
}

// paused takes in what is paused. It never waits.
func (r *reporter) paused(p operators.PausedInfo) {
	switch {
	case p.All:
		r.reportError(errors.New("everything is paused"))
	case p.Aggregates > 0:
		r.reportError(fmt.Errorf("%d aggregates are paused", p.Aggregates))
	default:
		r.reportError(errors.New("nothing is paused any more"))
	}
}

// run tells states, and progress if that is wanted, until end is called.
func (r *reporter) run() {
	defer close(r.done)
	ticker := time.NewTicker(reportInterval)
	defer ticker.Stop()
	last, counted, at := stream.State{}, uint64(0), time.Now()
	for {
		select {
		case last = <-r.states:
			r.tell(r.report("state", last))
		case err := <-r.errors:
			line := r.report("trouble", last)
			line.Cause = err.Error()
			r.tell(line)
		case now := <-ticker.C:
			if r.progress {
				line := r.report("progress", last)
				rate := float64(line.Changes-counted) / now.Sub(at).Seconds()
				line.PerSecond = &rate
				r.tell(line)
				counted, at = line.Changes, now
			}
		case <-r.quit:
			for len(r.states) > 0 {
				r.tell(r.report("state", <-r.states))
			}
			return
		}
	}
}

// end tells that all is over, and why if that is an error.
func (r *reporter) end(cause error) {
	close(r.quit)
	select {
	case <-r.done:
		r.tell(r.report("state", stream.State{Phase: stream.Closed, Since: time.Now(), Cause: cause}))
	case <-time.After(reportGrace):
	}
}

// reportLine is one line on standard error.
type reportLine struct {
	Report    string   `json:"report"` // state, progress or trouble
	State     string   `json:"state,omitempty"`
	Since     int64    `json:"since,omitempty"` // milliseconds since 1970
	Shard     *uint64  `json:"shard,omitempty"`
	Cause     string   `json:"cause,omitempty"`
	Changes   uint64   `json:"changes"`
	Events    uint64   `json:"events"`
	PerSecond *float64 `json:"per_second,omitempty"`
	Waiting   int      `json:"waiting"`
	Buffered  int64    `json:"buffered"` // payload bytes read, not printed
	LagMS     *int64   `json:"lag_ms,omitempty"`
	Follower  int64    `json:"follower_lag_ms,omitempty"` // 0 while it keeps up
}

func (r *reporter) report(kind string, s stream.State) reportLine {
	stats := r.stats()
	line := reportLine{Report: kind, Changes: r.changes.Load(), Events: r.events.Load(),
		Waiting: stats.Dirty, Buffered: stats.Buffered, Follower: stats.Lag.Milliseconds()}
	if late := r.late.Load(); late != noBatch {
		line.LagMS = &late
	}
	if s.Since.IsZero() {
		return line
	}
	line.State, line.Since = strings.ReplaceAll(s.Phase.String(), " ", "_"), s.Since.UnixMilli()
	if s.Phase == stream.Reconnecting {
		line.Shard = &s.Shard
	}
	if s.Cause != nil {
		line.Cause = s.Cause.Error()
	}
	return line
}

// tell writes a line. What cannot be told is no reason to end.
func (r *reporter) tell(line reportLine) {
	switch {
	case r.json:
		_ = json.NewEncoder(r.out).Encode(line)
	case !r.redraw:
		fmt.Fprintf(r.out, "%s: %v\n", r.command, line)
	case line.PerSecond != nil:
		fmt.Fprintf(r.out, "%s%v", clearLine, line)
	default:
		fmt.Fprintf(r.out, "%s%s: %v\n", clearLine, r.command, line)
	}
}

// String is the line for people.
func (l reportLine) String() string {
	var text strings.Builder
	if l.State != "" {
		text.WriteString(strings.ReplaceAll(l.State, "_", " "))
	}
	if l.Shard != nil {
		fmt.Fprintf(&text, " to shard %d", *l.Shard)
	}
	if l.Cause != "" && l.State != stream.Closed.String() { // the end is told as the command's error
		text.WriteString(": " + l.Cause)
	}
	fmt.Fprintf(&text, "; %d changes", l.Changes)
	if l.PerSecond != nil {
		fmt.Fprintf(&text, ", %.0f/s", *l.PerSecond)
	}
	fmt.Fprintf(&text, ", %d aggregates waiting", l.Waiting)
	if l.Buffered > 0 {
		fmt.Fprintf(&text, ", %.1f MB to print", float64(l.Buffered)/1e6)
	}
	if l.LagMS != nil {
		fmt.Fprintf(&text, ", lag %v", time.Duration(*l.LagMS)*time.Millisecond)
	}
	if l.Follower > 0 {
		fmt.Fprintf(&text, ", the follower behind by %v", time.Duration(l.Follower)*time.Millisecond)
	}
	return text.String()
}
