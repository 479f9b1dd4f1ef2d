package operators

import (
	"context"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// Latest keeps of each aggregate's waiting changes the newest only, for consumers
// that look at the state and not at its history. A Deleted or Reset before it is
// kept, too, since it voids what was built. limits say how much is waited for and
// for how long: with a Wait it is a debounce. Positions are kept.
func Latest(from Flow[stream.Change], limits Limits) Flow[stream.Change] {
	return &latest{from: Batch(from, limits)}
}

type latest struct{ from Flow[stream.Change] }

func (l *latest) Next(ctx context.Context) (Slice[stream.Change], error) {
	s, err := l.from.Next(ctx)
	if err != nil {
		return Slice[stream.Change]{}, err
	}
	newest := make(map[msg.Key]int, len(s.Items))
	voids := make(map[msg.Key]int)
	for i := range s.Items {
		newest[s.Items[i].Key] = i
		if k := s.Items[i].Kind; k == stream.Deleted || k == stream.Reset {
			voids[s.Items[i].Key] = i
		}
	}
	kept, next := 0, 0
	for m := range s.Marks {
		for ; next < s.Marks[m].End; next++ {
			c := &s.Items[next]
			void, voided := voids[c.Key]
			if c.Key == (msg.Key{}) || newest[c.Key] == next || voided && void == next {
				s.Items[kept] = *c
				kept++
			}
		}
		s.Marks[m].End = kept
	}
	clear(s.Items[kept:])
	s.Items = s.Items[:kept]
	return s, nil
}
