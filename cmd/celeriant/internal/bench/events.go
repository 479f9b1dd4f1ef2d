package bench

import (
	"math/rand/v2"

	"github.com/celeriant/celeriant-go/msg"
)

// variety is how many bytes of letters there are beyond the length of one
// payload; payloads are windows on them.
const variety = 64 << 10

// maker makes the events of one writer in memory that it reuses.
type maker struct {
	letters []byte
	size    int
	events  []msg.Event
	seq     uint64
}

func newMaker(events, size int, seed uint64) *maker {
	random := rand.New(rand.NewPCG(seed, 1))
	m := &maker{letters: make([]byte, variety+size), size: size, events: make([]msg.Event, events)}
	for i := range m.letters {
		m.letters[i] = 'a' + byte(random.UintN(26))
	}
	return m
}

// next returns the events of the next batch, valid until the call after it.
// The sequences go on from batch to batch.
func (m *maker) next() []msg.Event {
	for i := range m.events {
		m.seq++
		at := int(m.seq * 7919 % variety)
		m.events[i] = msg.Event{ClientSeq: m.seq, Timestamp: m.seq, Major: 1, Value: m.letters[at : at+m.size]}
	}
	return m.events
}

// restart begins the sequences of another aggregate.
func (m *maker) restart() { m.seq = 0 }

// seeded returns the n-th aggregate of the shared data.
func seeded(n uint64) msg.Key {
	return msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(1), Aggregate: msg.IDFromUint64(n)}
}

// fresh returns the n-th aggregate of a run that shares nothing with others.
func fresh(kind, run, n uint64) msg.Key {
	return msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(kind), Aggregate: msg.IDFromUint64s(run, n)}
}
