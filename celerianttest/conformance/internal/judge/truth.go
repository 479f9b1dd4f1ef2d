package judge

import (
	"fmt"
	"maps"
	"slices"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/record"
)

// truth is what a record says about one aggregate's history.
type truth struct {
	lives []*life
	// where finds a write by its tag.
	where   map[string]place
	deletes []int // the lines of deletes
	// tries are the lines in which writes were about to be sent, by their tags;
	// resumed is the line of the first delete that lets old batches be read again.
	tries   map[string]int
	resumed int
	// broken is where the server itself went against the protocol. The server's answers
	// about the aggregate from then on is not judged.
	broken  int
	deleted bool
	fresh   bool // the next write begins another life
}

// life is one log of an aggregate: a fresh recreation begins another one, a
// continuing one does not.
type life struct {
	batches []batch
	floor   uint64 // the highest ever
}

type batch struct {
	tag     string
	hash    uint64
	version uint64
	line    int // where the record tells that it was acknowledged
	tried   int // and that it was about to be sent
}

// place is where a batch is: its life, and its number there.
type place struct{ life, number int }

// twice finds writes that the server shows at two versions, although their client
// sequences were enforced.
func (x *truth) twice(l record.Line, i int) {
	if where, known := x.where[l.Tag]; known && x.broken == 0 {
		if b := x.batch(where); b.hash == l.Hash && b.version != l.Version {
			x.broken = i
		}
	}
}

// learn reads the history of all aggregates from a record.
func learn(lines []record.Line) map[string]*truth {
	all := make(map[string]*truth)
	of := func(key string) *truth {
		if all[key] == nil {
			all[key] = &truth{where: make(map[string]place), tries: make(map[string]int), resumed: len(lines), fresh: true}
		}
		return all[key]
	}
	for i, l := range lines {
		switch l.What {
		case record.Try:
			of(l.Key).tries[l.Tag] = i
		case record.Write:
			x := of(l.Key)
			if !x.fresh && l.Version <= x.batch(x.head()).version && x.broken == 0 {
				x.broken = i
			}
			tried, known := x.tries[l.Tag]
			if !known {
				tried = i
			}
			x.write(batch{l.Tag, l.Hash, l.Version, i, tried})
		case record.Trim:
			x := of(l.Key)
			last := x.lives[len(x.lives)-1]
			last.floor = max(last.floor, l.Version)
		case record.Delete:
			x := of(l.Key)
			x.deleted, x.fresh = true, !l.Continues
			x.deletes = append(x.deletes, i)
			if l.Continues {
				x.resumed = min(x.resumed, i)
			}
		}
	}
	maps.DeleteFunc(all, func(_ string, x *truth) bool { return len(x.lives) == 0 }) // tried at most
	for i, l := range lines {
		if x := all[l.Key]; x != nil && l.What == record.Change && l.Kind == "batch" {
			x.twice(l, i)
		}
	}
	return all
}

func (x *truth) write(b batch) {
	if x.fresh {
		x.lives = append(x.lives, &life{})
	}
	x.fresh, x.deleted = false, false
	last := x.lives[len(x.lives)-1]
	x.where[b.tag] = place{len(x.lives) - 1, len(last.batches)}
	last.batches = append(last.batches, b)
}

// deletedAfter reports whether the record tells of a delete behind a line.
func (x *truth) deletedAfter(line int) bool {
	return slices.ContainsFunc(x.deletes, func(d int) bool { return d > line })
}

func (x *truth) batch(p place) batch { return x.lives[p.life].batches[p.number] }

// head is the newest batch.
func (x *truth) head() place {
	last := len(x.lives) - 1
	return place{last, len(x.lives[last].batches) - 1}
}

func (b batch) String() string { return fmt.Sprintf("%s (version %d)", b.tag, b.version) }
