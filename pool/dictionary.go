package pool

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

const (
	// mostDictionaries bounds the cache: a cluster has one, and it never changes.
	mostDictionaries = 4
	// largestDictionary bounds each; the reference dictionary has 14,027 bytes.
	largestDictionary = 4 << 20
)

// dictionaries are what Identify has taught, shared by all connections of a
// pool: the compression dictionaries and, last, who the pool is taken for.
// Protocol section 9.1.
type dictionaries struct {
	identified atomic.Pointer[Identified]

	mu     sync.Mutex
	coders map[string]*wire.Coder // by lower-case hexadecimal SHA-256
	last   msg.Opt[string]
}

// known is the hash to tell the next node; its dictionary is at hand.
func (d *dictionaries) known() msg.Opt[string] {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// proven is who the pool was last taken for.
func (d *dictionaries) proven() (Identified, bool) {
	if last := d.identified.Load(); last != nil {
		return *last, true
	}
	return Identified{}, false
}

// prove keeps who the node takes the pool for.
func (d *dictionaries) prove(node string, answer *msg.IdentifyResponse) {
	d.identified.Store(&Identified{Node: node, ClientID: answer.ClientID, Access: answer.Access, At: time.Now()})
}

// resolve returns the coder for what a node has answered, nil when it does not
// compress. found is false when the node confirms a hash whose dictionary is
// not at hand.
func (d *dictionaries) resolve(answer *msg.IdentifyResponse) (coder *wire.Coder, found bool, err error) {
	hash, ok := answer.DictSHA256.Get()
	if !ok {
		return nil, true, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if coder, ok := d.coders[hash]; ok {
		d.last = msg.Some(hash)
		return coder, true, nil
	}
	if len(answer.DictBytes) == 0 {
		d.last = msg.None[string]()
		return nil, false, nil
	}
	if err := d.admit(hash, answer.DictBytes); err != nil {
		return nil, true, err
	}
	coder, err = wire.NewCoder(answer.DictBytes)
	if err != nil {
		return nil, true, violation("dictionary %s: %w", hash, err)
	}
	if d.coders == nil {
		d.coders = make(map[string]*wire.Coder)
	}
	d.coders[hash], d.last = coder, msg.Some(hash)
	return coder, true, nil
}

func (d *dictionaries) admit(hash string, dictionary []byte) error {
	if len(dictionary) > largestDictionary {
		return violation("dictionary of %d bytes, limit %d", len(dictionary), largestDictionary)
	}
	if len(d.coders) == mostDictionaries {
		return violation("dictionary %s would be one more than %d", hash, mostDictionaries)
	}
	sum := sha256.Sum256(dictionary)
	if got := hex.EncodeToString(sum[:]); got != hash {
		return violation("dictionary announced as %s hashes to %s", hash, got)
	}
	return nil
}

// close releases the coders; nobody may use them any more.
func (d *dictionaries) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, coder := range d.coders {
		coder.Close()
	}
	d.coders, d.last = nil, msg.None[string]()
}
