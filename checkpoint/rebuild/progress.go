package rebuild

import (
	"context"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Progress is how far a rebuild has come, compared with its predecessor's stored
// cursors.
type Progress struct {
	// Aggregates is how many the predecessor has seen, Reached at how many of their
	// cursors the rebuild stands.
	Aggregates, Reached int
	// Versions is the number of versions up to the predecessor's cursors, Handled how
	// many of them the rebuild has behind it. Versions that were trimmed count as handled.
	Versions, Handled uint64
	// At is when this was measured.
	At time.Time
	// Rate is in versions per second, since an earlier measurement; 0 if it is unknown.
	Rate float64
}

// Estimate is how long the rest takes at the present rate; ok is false if the rate is
// unknown.
func (p Progress) Estimate() (rest time.Duration, ok bool) {
	if p.Handled >= p.Versions {
		return 0, true
	}
	if p.Rate <= 0 {
		return 0, false
	}
	seconds := float64(p.Versions-p.Handled) / p.Rate
	return time.Duration(min(seconds, (100*365*24*time.Hour).Seconds()) * float64(time.Second)), true
}

// Since returns p with the rate since an earlier measurement.
func (p Progress) Since(before Progress) Progress {
	if d := p.At.Sub(before.At).Seconds(); d > 0 && !before.At.IsZero() && p.Handled >= before.Handled {
		p.Rate = float64(p.Handled-before.Handled) / d
	}
	return p
}

// add counts one aggregate.
func (p *Progress) add(mine, theirs checkpoint.Cursor) (reached bool) {
	p.Aggregates++
	reached = Reached(mine, theirs)
	if reached {
		p.Reached++
	}
	if theirs.Deleted {
		return reached
	}
	p.Versions += theirs.Version
	if reached {
		p.Handled += theirs.Version
	} else {
		p.Handled += min(mine.Version, theirs.Version)
	}
	return reached
}

// page is how many cursors are looked up at once.
const page = 512

// Compare goes through the predecessor's cursors, of those aggregates that within holds
// for, and yields the ones that the rebuild has not reached. Compare returns the
// progress at its end. within may be nil.
func Compare(ctx context.Context, store checkpoint.Store, name, from string, within func(msg.Key) bool, behind func(checkpoint.Entry)) (Progress, error) {
	var p Progress
	var entries []checkpoint.Entry
	flush := func() error {
		mine, err := load(ctx, store, name, entries)
		if err != nil {
			return err
		}
		for i, e := range entries {
			if !p.add(mine[i], e.Cursor) && behind != nil {
				behind(e)
			}
		}
		entries = entries[:0]
		return nil
	}
	for e, err := range store.Scan(ctx, from) {
		if err == nil && (within == nil || within(e.Key)) {
			if entries = append(entries, e); len(entries) == page {
				err = flush()
			}
		}
		if err != nil {
			return p, fmt.Errorf("rebuild: comparing %q with %q: %w", name, from, err)
		}
	}
	if err := flush(); err != nil {
		return p, fmt.Errorf("rebuild: comparing %q with %q: %w", name, from, err)
	}
	p.At = time.Now()
	return p, nil
}

func load(ctx context.Context, store checkpoint.Store, name string, entries []checkpoint.Entry) ([]checkpoint.Cursor, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	keys := make([]msg.Key, len(entries))
	for i := range entries {
		keys[i] = entries[i].Key
	}
	return store.Load(ctx, name, keys)
}

// Behind returns those of a predecessor's cursors that the rebuild has not reached.
func Behind(ctx context.Context, store checkpoint.Store, name string, theirs []checkpoint.Entry) (rest []checkpoint.Entry, err error) {
	for len(theirs) > 0 {
		n := min(page, len(theirs))
		mine, err := load(ctx, store, name, theirs[:n])
		if err != nil {
			return nil, err
		}
		for i, e := range theirs[:n] {
			if !Reached(mine[i], e.Cursor) {
				rest = append(rest, e)
			}
		}
		theirs = theirs[n:]
	}
	return rest, nil
}

const progressKey = "rebuild"

type progressJSON struct {
	Format     int       `json:"format"`
	Aggregates int       `json:"aggregates"`
	Reached    int       `json:"reached"`
	Versions   uint64    `json:"versions"`
	Handled    uint64    `json:"handled"`
	At         time.Time `json:"at"`
	Rate       float64   `json:"rate"`
}

// SaveProgress stores a measurement with the rebuild, for [LoadProgress].
func SaveProgress(ctx context.Context, store checkpoint.RecordStore, name string, p Progress) error {
	value := encode(progressJSON{format, p.Aggregates, p.Reached, p.Versions, p.Handled, p.At.UTC(), p.Rate})
	return store.Apply(ctx, name, checkpoint.Mutation{Records: []checkpoint.RecordChange{{Key: progressKey, Value: value, Any: true}}})
}

// LoadProgress returns the last measurement that a process of the rebuild has stored;
// ok is false if there is none.
func LoadProgress(ctx context.Context, store checkpoint.RecordStore, name string) (p Progress, ok bool, err error) {
	records, _, err := store.Records(ctx, name, progressKey)
	if err != nil {
		return p, false, err
	}
	for _, r := range records {
		if r.Key != progressKey {
			continue
		}
		var j progressJSON
		if err := decode(r, &j); err != nil {
			return p, false, err
		}
		return Progress{j.Aggregates, j.Reached, j.Versions, j.Handled, j.At, j.Rate}, true, nil
	}
	return p, false, nil
}
