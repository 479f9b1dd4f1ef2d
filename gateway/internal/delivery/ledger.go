package delivery

import (
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// MaxVoid is the most void deliveries that an account remembers, so that their
// late acknowledgements are told from invented ones.
const MaxVoid = 1 << 16

// ErrTooManyVoid ends a stream whose client does not acknowledge what was voided.
var ErrTooManyVoid = errors.New("too many void deliveries without acknowledgement")

// Limits is the credit of a client.
type Limits struct {
	// Changes and Bytes bound what is delivered and not acknowledged. One change
	// is always admitted when nothing is outstanding.
	Changes int
	Bytes   int64
}

// Range is a range of delivery numbers, both inclusive.
type Range struct{ First, Last uint64 }

// RangeError refuses an acknowledgement that names something else than an
// outstanding delivery, or passes over an earlier one of the same aggregate.
type RangeError struct {
	Delivery uint64
	Reason   string
}

// Error names the delivery and the reason.
func (e *RangeError) Error() string { return fmt.Sprintf("delivery %d %s", e.Delivery, e.Reason) }

// condition is what became of a delivery.
type condition uint8

const (
	outstanding condition = iota
	handled
	void
)

// item is one delivery.
type item struct {
	change    stream.Change // without its batch
	bytes     int64
	condition condition
	// before is the delivery of the same aggregate that came before, if it was
	// outstanding then; 0 otherwise.
	before uint64
}

// window is how many deliveries are kept in sequence before those at the front
// that are still open move aside.
const window = 4096

// Ledger is the account. A Ledger is for one goroutine at a time.
type Ledger struct {
	limits Limits
	// items holds the deliveries from number base on. Earlier ones are
	// settled, but for the stragglers.
	items      []item
	base       uint64
	stragglers map[uint64]*item
	// last is the latest outstanding delivery of each aggregate.
	last map[msg.Key]uint64

	count, voids int
	bytes        int64
}

// NewLedger returns the account of a new stream.
func NewLedger(limits Limits) *Ledger {
	return &Ledger{limits: limits, base: 1, stragglers: make(map[uint64]*item), last: make(map[msg.Key]uint64)}
}

// Next is the number of the next delivery.
func (l *Ledger) Next() uint64 { return l.base + uint64(len(l.items)) }

// Outstanding returns how many changes and bytes are outstanding.
func (l *Ledger) Outstanding() (changes int, bytes int64) { return l.count, l.bytes }

// Admits reports whether the credit covers a change of this size.
func (l *Ledger) Admits(bytes int64) bool {
	return l.count == 0 || l.count < l.limits.Changes && l.bytes+bytes <= l.limits.Bytes
}

// Of returns the oldest and the newest outstanding change of an aggregate.
func (l *Ledger) Of(key msg.Key) (oldest, newest *stream.Change, ok bool) {
	at, ok := l.last[key]
	if !ok {
		return nil, nil, false
	}
	newest = &l.at(at).change
	for {
		before := l.at(at).before
		if !l.isOutstanding(before) {
			return &l.at(at).change, newest, true
		}
		at = before
	}
}

// Add enters a delivery and returns its number.
func (l *Ledger) Add(c *stream.Change, bytes int64) uint64 {
	n := l.Next()
	entry := item{change: *c, bytes: bytes}
	entry.change.Batch = msg.Batch{Version: c.Batch.Version}
	if c.Moves() {
		entry.before = l.last[c.Key]
		l.last[c.Key] = n
	}
	l.items = append(l.items, entry)
	l.count++
	l.bytes += bytes
	return n
}

// at returns a delivery that was made; nil if it is settled and forgotten.
func (l *Ledger) at(n uint64) *item {
	if n < l.base {
		return l.stragglers[n]
	}
	return &l.items[n-l.base]
}

func (l *Ledger) isOutstanding(n uint64) bool {
	it := l.at(n)
	return it != nil && it.condition == outstanding
}

// Handled settles deliveries and returns those changes that were outstanding, in
// the order of their numbers. Handled settles all of them or, with a [*RangeError],
// none.
func (l *Ledger) Handled(ranges []Range) ([]stream.Change, error) {
	if err := l.check(ranges); err != nil {
		return nil, err
	}
	named := uint64(0)
	for _, r := range ranges {
		named += r.Last - r.First + 1
	}
	changes := make([]stream.Change, 0, named)
	for _, r := range ranges {
		for n := r.First; n <= r.Last; n++ {
			if c, ok := l.settle(n, handled); ok {
				changes = append(changes, c)
			}
		}
	}
	l.trim()
	return changes, nil
}

// check refuses ranges that are not ascending, name unknown or settled deliveries,
// or leave out an earlier delivery of the same aggregate.
func (l *Ledger) check(ranges []Range) error {
	next := uint64(1)
	for i, r := range ranges {
		switch {
		case r.First == 0 || r.Last < r.First:
			return &RangeError{r.First, fmt.Sprintf("begins a range that ends at %d", r.Last)}
		case r.First < next:
			return &RangeError{r.First, "comes after a later one"}
		case r.Last >= l.Next():
			return &RangeError{r.Last, "was never made"}
		}
		for n := r.First; n <= r.Last; n++ {
			it := l.at(n)
			if it == nil || it.condition == handled {
				return &RangeError{n, "was acknowledged before"}
			}
			if it.condition == outstanding && l.isOutstanding(it.before) && !within(ranges[:i+1], it.before) {
				return &RangeError{n, fmt.Sprintf("follows delivery %d of the same aggregate, which is outstanding", it.before)}
			}
		}
		next = r.Last + 1
	}
	return nil
}

func within(ranges []Range, n uint64) bool {
	for i := len(ranges) - 1; i >= 0; i-- {
		if n >= ranges[i].First {
			return n <= ranges[i].Last
		}
	}
	return false
}

// settle takes a delivery off the account; false if it was void.
func (l *Ledger) settle(n uint64, to condition) (stream.Change, bool) {
	it := l.at(n)
	was := it.condition
	it.condition = to
	if was == void {
		l.voids--
		if n < l.base {
			delete(l.stragglers, n)
		}
		return stream.Change{}, false
	}
	c := it.change
	it.change = stream.Change{}
	l.count--
	l.bytes -= it.bytes
	if c.Moves() && l.last[c.Key] == n {
		delete(l.last, c.Key)
	}
	if n < l.base {
		delete(l.stragglers, n)
	}
	return c, true
}

// trim forgets what is settled at the front. A change that is open there for
// long moves aside, so that the settled behind it can be forgotten.
func (l *Ledger) trim() {
	n := 0
	for n < len(l.items) && (l.items[n].condition == handled || len(l.items)-n > window) {
		if l.items[n].condition != handled {
			it := l.items[n]
			l.stragglers[l.base+uint64(n)] = &it
		}
		n++
	}
	if n == len(l.items) {
		l.items = l.items[:0]
	} else if n > 0 {
		l.items = append(l.items[:0], l.items[n:]...)
	}
	l.base += uint64(n)
}

// Void takes outstanding deliveries off the account without an acknowledgement:
// those that match, or all with a nil match. Their late acknowledgements are
// ignored.
func (l *Ledger) Void(match func(*stream.Change) bool) (voided int, err error) {
	annul := func(it *item) {
		if it.condition != outstanding || match != nil && !match(&it.change) {
			return
		}
		c := it.change
		it.condition, it.change = void, stream.Change{}
		l.count--
		l.bytes -= it.bytes
		l.voids++
		voided++
		if c.Moves() {
			delete(l.last, c.Key)
		}
	}
	for _, it := range l.stragglers {
		annul(it)
	}
	for i := range l.items {
		annul(&l.items[i])
	}
	if l.voids > MaxVoid {
		return voided, ErrTooManyVoid
	}
	return voided, nil
}

// Get returns an outstanding change; ok is false if it is void, and the error is
// a [*RangeError] if there is no such delivery.
func (l *Ledger) Get(n uint64) (c stream.Change, ok bool, err error) {
	switch {
	case n == 0 || n >= l.Next():
		return c, false, &RangeError{n, "was never made"}
	}
	switch it := l.at(n); {
	case it == nil || it.condition == handled:
		return c, false, &RangeError{n, "was acknowledged before"}
	case it.condition == void:
		return c, false, nil
	default:
		return it.change, true, nil
	}
}
