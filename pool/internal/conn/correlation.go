package conn

import (
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"

	"github.com/celeriant/celeriant-go/msg"
)

// Correlator makes correlation ids: a random half that tells pools apart and a
// counted half that tells the requests of one pool apart.
type Correlator struct {
	base  uint64
	count atomic.Uint64
}

func NewCorrelator() *Correlator {
	var seed [8]byte
	rand.Read(seed[:]) // never fails
	return &Correlator{base: binary.LittleEndian.Uint64(seed[:])}
}

func (c *Correlator) Next() msg.ID { return msg.IDFromUint64s(c.base, c.count.Add(1)) }
