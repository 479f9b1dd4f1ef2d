package msg

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"sync"
	"time"
)

// NewID returns a fresh id: a UUID of version 7 (RFC 9562), which begins with the
// time in milliseconds, so that ids sort by their age. Within one process each is
// greater than the one before, also when the clock is set back. NewID is safe for
// concurrent use.
//
// As text and in protocol version 3 its bytes stand in the order of [ID]; protocol
// version 2 sends them reversed, as it does with every id.
func NewID() ID { return freshIDs.next(time.Now()) }

var freshIDs idClock

// idClock gives out the times of ids, in 1/4096 of a millisecond, each once.
type idClock struct {
	mu   sync.Mutex
	last uint64
}

func (c *idClock) next(now time.Time) ID {
	// RFC 9562, section 6.2, method 3: 48 bits of milliseconds, 12 bits of their fraction.
	tick := uint64(now.UnixMilli())<<12 | uint64(now.Nanosecond()%1e6)<<12/1e6
	c.mu.Lock()
	tick = max(tick, c.last+1)
	c.last = tick
	c.mu.Unlock()
	var id ID
	binary.BigEndian.PutUint64(id[:8], tick>>12<<16|0x7000|tick&0xfff)
	rand.Read(id[8:]) // never fails: the program ends instead
	id[8] = id[8]&0x3f | 0x80
	return id
}

// IDFromName returns the id of a text within a namespace: a UUID of version 5
// (RFC 9562), the same in every process and language. The hash is taken of the
// namespace's 16 bytes in the order of its text, as RFC 9562 has them, and of the
// text's bytes. Its own bytes are sent as those of [NewID].
func IDFromName(namespace ID, text string) ID {
	h := sha1.New()
	h.Write(namespace[:])
	h.Write([]byte(text))
	var id ID
	copy(id[:], h.Sum(nil))
	id[6] = id[6]&0x0f | 0x50
	id[8] = id[8]&0x3f | 0x80
	return id
}
