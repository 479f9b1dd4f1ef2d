package node

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
	// repeatInterval is how often a failure to connect that lasts is told again.
	repeatInterval = 30 * time.Second
	// reportGrace is how long a terminal that is stopped holds up the end.
	reportGrace = time.Second
	// waitingStates bounds the states that wait for such a terminal; more are
	// left out.
	waitingStates = 256
	clearLine     = "\r\x1b[K"
)

// Reporter prints on standard error what state a subscription is in, how much of it was
// handled, and how much is not.
type Reporter struct {
	out      io.Writer
	command  string // whose lines these are
	JSON     bool
	Progress bool // tell each second, too
	Redraw   bool // on the same line of a terminal
	Stats    func() stream.Stats

	changes, events atomic.Uint64
	late            atomic.Int64 // milliseconds of the last batch when it was printed, noBatch before

	states chan stream.State
	errors chan error // of the store or the handler
	quit   chan struct{}
	done   chan struct{}
}

const noBatch = -1

// NewReporter returns a reporter for a command that writes to out once it runs.
func NewReporter(out io.Writer, command string) *Reporter {
	r := &Reporter{out: out, command: command, states: make(chan stream.State, waitingStates), errors: make(chan error, waitingStates), quit: make(chan struct{}), done: make(chan struct{})}
	r.late.Store(noBatch)
	return r
}

// Count takes in a change that is being printed.
func (r *Reporter) Count(c *stream.Change) {
	r.changes.Add(1)
	if c.Kind != stream.Batch {
		return
	}
	r.events.Add(uint64(len(c.Batch.Events)))
	r.late.Store(max(0, time.Now().UnixMilli()-int64(c.Batch.ServerTimestamp)))
}

// Observe takes in a state and never waits.
func (r *Reporter) Observe(s stream.State) {
	if s.Phase == stream.Closed {
		return // the end is told by end, once
	}
	select {
	case r.states <- s:
	default:
	}
}

// ReportError takes in why positions cannot be stored for now, and never waits.
func (r *Reporter) ReportError(err error) {
	select {
	case r.errors <- err:
	default:
	}
}

// Failed takes in that a handler failed and what follows, and never waits.
func (r *Reporter) Failed(v operators.VerdictInfo) {
	if v.Verdict == operators.Retry && v.Failure.Attempt > 1 {
		return // told once; the state shows that it goes on
	}
	r.ReportError(fmt.Errorf("%v of %v version %d: %w", v.Verdict, v.Failure.Change.Key, v.Failure.Change.Batch.Version, v.Failure.Err))
}

// Parked takes in that an aggregate was parked, and never waits.
func (r *Reporter) Parked(p operators.ParkedInfo) {
	r.ReportError(fmt.Errorf("parked %v at version %d after %d attempts: %w", p.Key, p.Version, p.Attempts, p.Err))
}

// Paused takes in what is paused and never waits.
func (r *Reporter) Paused(p operators.PausedInfo) {
	switch {
	case p.All:
		r.ReportError(errors.New("everything is paused"))
	case p.Aggregates > 0:
		r.ReportError(fmt.Errorf("%d aggregates are paused", p.Aggregates))
	default:
		r.ReportError(errors.New("nothing is paused any more"))
	}
}

// Listening tells where the status page is served, if it is.
func (r *Reporter) Listening(address string) {
	switch {
	case address == "":
	case r.JSON:
		_ = json.NewEncoder(r.out).Encode(map[string]string{"report": "listening", "status_listen": address})
	default:
		fmt.Fprintf(r.out, "%s: the status page is at http://%s/\n", r.command, address)
	}
}

// Run tells states, and progress if that is wanted, until end is called.
func (r *Reporter) Run() {
	defer close(r.done)
	ticker := time.NewTicker(reportInterval)
	defer ticker.Stop()
	last, counted, at := stream.State{}, uint64(0), time.Now()
	told := time.Time{}
	for {
		select {
		case s := <-r.states:
			again := s.Phase == stream.Connecting && last.Phase == stream.Connecting && last.Cause != nil
			last = s
			if now := time.Now(); !again || now.Sub(told) >= repeatInterval {
				told = now
				r.tell(r.report("state", s))
			}
		case err := <-r.errors:
			line := r.report("trouble", last)
			line.Cause = err.Error()
			r.tell(line)
		case now := <-ticker.C:
			if r.Progress {
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

// End tells that all is over, and why if that is an error.
func (r *Reporter) End(cause error) {
	close(r.quit)
	select {
	case <-r.done:
		r.tell(r.report("state", stream.State{Phase: stream.Closed, Since: time.Now(), Cause: cause}))
	case <-time.After(reportGrace):
	}
}

// reportLine is one line on standard error.
type reportLine struct {
	Report    string   `json:"report"` // state, progress, trouble or listening
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

func (r *Reporter) report(kind string, s stream.State) reportLine {
	stats := r.Stats()
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

// tell writes a line. A line that cannot be written is no reason to end.
func (r *Reporter) tell(line reportLine) {
	switch {
	case r.JSON:
		_ = json.NewEncoder(r.out).Encode(line)
	case !r.Redraw:
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
