package pool

import (
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"

	"github.com/celeriant/celeriant-go/msg"
)

// correlator makes correlation ids: a random half that tells pools apart and a
// counted half that tells the requests of one pool apart.
type correlator struct {
	base  uint64
	count atomic.Uint64
}

func newCorrelator() *correlator {
	var seed [8]byte
	rand.Read(seed[:]) // never fails
	return &correlator{base: binary.LittleEndian.Uint64(seed[:])}
}

func (c *correlator) next() msg.ID { return msg.IDFromUint64s(c.base, c.count.Add(1)) }
