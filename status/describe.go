package status

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// describe puts a consumer's facts into words. The same words stand on the page, in
// /status.json and in "celeriant status".
func describe(f *Facts, t *trail, now time.Time) Consumer {
	c := Consumer{
		Name:        clean(f.Name),
		State:       f.Phase.String(),
		Since:       f.Since.UTC(),
		Unhandled:   f.Unhandled,
		Uncommitted: f.Uncommitted,
		Parked:      f.Parked,
		Unreadable:  f.Unreadable,
		LastCommit:  f.LastCommit.UTC(),
		Batches:     f.Batches,
		CaughtUp:    f.CaughtUp,
		Shards:      f.Shards,
		Rates:       t.rates(),
		Trend:       t.trend(),
	}
	if !f.OldestPending.IsZero() {
		c.OldestPending = max(0, now.Sub(f.OldestPending).Seconds())
	}
	for _, r := range f.Retrying {
		r.Error, r.Since, r.Next = clean(r.Error), r.Since.UTC(), r.Next.UTC()
		c.Retrying = append(c.Retrying, r)
	}
	slices.SortStableFunc(c.Retrying, func(a, b Retry) int { return a.Since.Compare(b.Since) })
	c.waits(now)
	situation(f, &c, t, now)
	return c
}

// waits has what is retried count as waiting since its first failure at least, so that the
// numbers of a row agree with its sentence while the subscription learns what is tried again.
func (c *Consumer) waits(now time.Time) {
	for i := range c.Retrying {
		r := &c.Retrying[i]
		if r.What != "handler" && r.What != "database" && r.What != "client" {
			continue
		}
		c.Unhandled = max(c.Unhandled, 1)
		c.OldestPending = max(c.OldestPending, now.Sub(r.Since).Seconds())
	}
}

// situation chooses the row's sentence. The order is that of urgency: of several
// troubles the row tells the one that must be solved first, and lists the others as
// retries.
func situation(f *Facts, c *Consumer, t *trail, now time.Time) {
	switch retry := urgent(c.Retrying); {
	case f.Phase == Closed && f.Fenced:
		sayFenced(f, c, now)
	case f.Phase == Closed:
		sayEnded(f, c, now)
	case retry != nil && retry.What == "store":
		saySoreStore(f, c, retry, now)
	case retry != nil:
		sayRetrying(f, c, retry, now)
	case f.Lag > 0:
		sayLagging(f, c)
	case f.Phase == Reconnecting || f.Phase == Connecting:
		sayUnconnected(f, c, now)
	case f.Phase == CatchingUp:
		sayCatchingUp(f, c, t)
	case f.Phase == Queued:
		c.Level = Busy
		c.Says = "Queued since " + clock(f.Since, now) + ": the gateway admits catch-ups in turn"
	default:
		sayLive(f, c, now)
	}
	if f.Cause != "" && len(c.Retrying) == 0 && f.Lag == 0 && (f.Phase == CatchingUp || f.Phase == Live) {
		brake(f, c)
	}
}

// urgent returns the retry that the row tells of: a handler's or a store's before a
// node's, which usually passes by itself.
func urgent(retries []Retry) *Retry {
	for _, what := range []string{"store", "database", "handler", "client", "node"} {
		for i := range retries {
			if retries[i].What == what {
				return &retries[i]
			}
		}
	}
	return nil
}

func sayFenced(f *Facts, c *Consumer, now time.Time) {
	c.Level, c.State = Ended, "fenced"
	owner := "another owner"
	if f.NewOwner != "" {
		owner = clean(f.NewOwner)
	}
	c.Cause = "fenced by " + owner
	c.Says = fmt.Sprintf("Fenced at %s by %s", clock(f.Since, now), owner)
	switch {
	case f.NewOwner == "":
		c.Proof = clean(f.Cause)
	case f.NewOwnerAlive:
		c.Proof = owner + " is alive and owns it now"
	default:
		c.Proof = owner + " owned it last and is not heard of"
	}
	c.Next = "the new owner goes on; nothing to do here"
}

func sayEnded(f *Facts, c *Consumer, now time.Time) {
	c.Level = Ended
	c.Cause = clean(f.Cause)
	if c.Cause == "" {
		c.Cause = "closed by the program"
	}
	c.Says = fmt.Sprintf("Ended at %s: %s", clock(f.Since, now), c.Cause)
	c.Proof = repeats(f)
	c.Next = "nothing until the program subscribes again"
}

func saySoreStore(f *Facts, c *Consumer, r *Retry, now time.Time) {
	c.Level, c.Cause = Attention, r.Error
	c.Says = fmt.Sprintf("Not storing since %s: %s; handling pauses", clock(r.Since, now), r.Error)
	c.Proof = repeats(f)
	c.Next = due(r, now)
}

func sayRetrying(f *Facts, c *Consumer, r *Retry, now time.Time) {
	c.Level, c.Cause = Attention, r.Error
	c.Says = fmt.Sprintf("Retrying %s since %s (attempt %d): %s", r.What, clock(r.Since, now), r.Attempts, r.Error)
	if r.What == "handler" && f.Culprit != "" {
		c.Proof = clean(f.Culprit)
	}
	c.Next = due(r, now)
}

func sayLagging(f *Facts, c *Consumer) {
	c.Level = Attention
	node := "The follower"
	if f.Follower != "" {
		node = "Follower " + clean(f.Follower)
	}
	c.Cause = fmt.Sprintf("%s is %s behind the leader", node, span(f.Lag))
	c.Says = c.Cause + "; the leader is read instead"
	c.Next = "the watch moves to the leader when the lag passes its bound"
}

func sayUnconnected(f *Facts, c *Consumer, now time.Time) {
	c.Level = Busy
	if f.CaughtUp || now.Sub(f.Since) > 5*time.Second {
		c.Level = Attention
	}
	word := "Connecting"
	if f.Phase == Reconnecting {
		word = "Reconnecting"
	}
	c.Cause = clean(f.Cause)
	c.Says = fmt.Sprintf("%s since %s", word, clock(f.Since, now))
	if c.Cause != "" {
		c.Says += ": " + c.Cause
	}
	c.Next = "retries by itself, with pauses of at most a few seconds"
}

func sayCatchingUp(f *Facts, c *Consumer, t *trail) {
	c.Level = Busy
	done, all := float64(f.Batches), float64(f.Batches)+float64(f.Unhandled)
	c.Says = fmt.Sprintf("Catching up: %s of %s", count(done), count(all))
	if f.Listing > 0 {
		c.Says = fmt.Sprintf("Catching up: %s of at least %s, %s still listed", count(done), count(all), plural(f.Listing, "shard"))
	}
	if pace := t.pace(); pace > 0 {
		c.Says += fmt.Sprintf(", %s/s", count(pace))
		if f.Listing == 0 && f.Unhandled > 0 {
			c.Says += ", about " + span(time.Duration(float64(f.Unhandled)/pace*float64(time.Second)))
		}
	}
	c.Proof = "the node brakes: the buffer is empty"
	if f.Buffer > 0 && f.Buffered*2 > f.Buffer {
		c.Proof = "the consumer brakes: the buffer is full"
	}
	c.Proof += "; " + repeats(f)
}

// overdue is how long a change may wait at a live consumer before a person should look.
const overdue = 30 * time.Second

// brake tells why nothing further is read, although nothing fails.
func brake(f *Facts, c *Consumer) {
	c.Level, c.Cause = Attention, clean(f.Cause)
	c.Says += "; nothing further is read: " + c.Cause
	c.Next = "the consumer must commit what it was given"
}

func sayLive(f *Facts, c *Consumer, now time.Time) {
	var aside []string
	if f.Unreadable > 0 {
		aside = append(aside, fmt.Sprintf("%d unreadable", f.Unreadable))
		c.Next = "an unreadable aggregate goes on once its batch can be read again or was trimmed"
	}
	if f.Parked > 0 {
		parked := fmt.Sprintf("%d parked", f.Parked)
		if !f.OldestParked.IsZero() {
			parked += ", oldest " + span(now.Sub(f.OldestParked))
		}
		aside = append(aside, parked)
		c.Next = "release a parked aggregate, or skip one version of it"
	}
	handled := "all handled"
	switch {
	case f.Unhandled > 0:
		handled = fmt.Sprintf("%s unhandled", count(float64(f.Unhandled)))
	case len(aside) > 0:
		handled = "all else handled"
	}
	c.Says = fmt.Sprintf("Live since %s, %s", clock(f.Since, now), handled)
	waits := time.Duration(0)
	if !f.OldestPending.IsZero() {
		waits = now.Sub(f.OldestPending)
	}
	if f.Unhandled > 0 && waits >= overdue && len(aside) == 0 {
		c.Level, c.Cause = Attention, "the oldest unhandled change has waited for "+span(waits)
		c.Says += ", the oldest for " + span(waits)
		c.Next = "nothing fails: a handler hangs or is slow, and the log names it"
	}
	if len(aside) > 0 {
		c.Level, c.Cause = Attention, strings.Join(aside, "; ")
		c.Says = "Live; " + c.Cause + "; " + handled
	}
	var proof []string
	if !f.LastCommit.IsZero() {
		proof = append(proof, "last commit "+span(now.Sub(f.LastCommit))+" ago")
	}
	if f.OfPartitions > 0 {
		proof = append(proof, fmt.Sprintf("%d of %d partitions here", f.Partitions, f.OfPartitions))
	}
	c.Proof = strings.Join(proof, "; ")
}

// repeats says what a restart would handle again, as far as that is known.
func repeats(f *Facts) string {
	switch {
	case f.Uncommitted < 0:
		return "a crash repeats at most what was not stored in the last second"
	case f.Uncommitted == 0:
		return "a restart repeats nothing"
	}
	return fmt.Sprintf("handed out and not stored: %d, repeated after a crash", f.Uncommitted)
}

func due(r *Retry, now time.Time) string {
	if r.Next.IsZero() || !r.Next.After(now) {
		return fmt.Sprintf("attempt %d is under way", r.Attempts+1)
	}
	return fmt.Sprintf("retries in %s, attempt %d", span(r.Next.Sub(now)), r.Attempts+1)
}

// sentence sums up all consumers.
func sentence(consumers []Consumer) string {
	if len(consumers) == 0 {
		return "No consumer is running in this process."
	}
	troubled, apart, oldest := 0, 0, 0.0
	for i := range consumers {
		if consumers[i].Level >= Attention {
			troubled++
		}
		if s := consumers[i].State; s == Connecting.String() || s == Reconnecting.String() {
			apart++
		}
		oldest = max(oldest, consumers[i].OldestPending)
	}
	pending := "everything known is handled"
	if apart > 0 {
		pending += fmt.Sprintf(", but %d cannot hear of more", apart)
	}
	if oldest > 0 {
		pending = "oldest unhandled change " + span(time.Duration(oldest*float64(time.Second)))
	}
	if troubled == 0 {
		if len(consumers) == 1 {
			return "The consumer needs no attention; " + pending + "."
		}
		return fmt.Sprintf("All %d consumers need no attention; %s.", len(consumers), pending)
	}
	verb := "need"
	if troubled == 1 {
		verb = "needs"
	}
	return fmt.Sprintf("%d of %s %s attention; %s.", troubled, plural(len(consumers), "consumer"), verb, pending)
}

// streaming sums up the streams of a gateway.
func streaming(streams []Stream) string {
	open, stalled := 0, 0
	for i := range streams {
		open += streams[i].Open
		stalled += streams[i].Stalled
	}
	text := "its gateway serves " + plural(open, "stream")
	if stalled > 0 {
		text += fmt.Sprintf("; of %d the clients do not read", stalled)
	}
	return text
}

// worstFirst orders consumers by level, then by the age of what is pending, then by name.
func worstFirst(a, b Consumer) int {
	if a.Level != b.Level {
		return int(b.Level) - int(a.Level)
	}
	if a.OldestPending != b.OldestPending {
		if a.OldestPending > b.OldestPending {
			return -1
		}
		return 1
	}
	return strings.Compare(a.Name, b.Name)
}
