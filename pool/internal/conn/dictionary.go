package conn

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
	// maxDictionaries bounds the cache: a cluster has one, which never changes.
	maxDictionaries = 4
	// largestDictionary bounds each; the reference dictionary has 14,027 bytes.
	largestDictionary = 4 << 20
	// largestIdentify bounds the answer that carries one, before it is read.
	largestIdentify = largestDictionary + 1<<10
)

// Identified is what a node has confirmed about a connection's credentials.
type Identified struct {
	Node     string
	ClientID msg.Opt[msg.ID]
	Access   msg.Opt[msg.AccessLevel]
	At       time.Time
}

// Dictionaries are what Identify has taught, shared by all connections of a
// pool: the compression dictionaries and, last, who the pool is taken for. The zero
// value is ready for use. Protocol section 9.1.
type Dictionaries struct {
	identified atomic.Pointer[Identified]

	mu     sync.Mutex
	coders map[string]*sharedCoder // by lower-case hexadecimal SHA-256
	last   msg.Opt[string]
	uses   uint64
	closed bool
}

// sharedCoder is a coder that is closed when it is out of the cache and no
// connection uses it any more.
type sharedCoder struct {
	*wire.Coder
	users   int
	used    uint64 // when it was taken last, in uses
	dropped bool   // out of the cache
}

// codec is the coder, nil when nothing is compressed.
func (s *sharedCoder) codec() *wire.Coder {
	if s == nil {
		return nil
	}
	return s.Coder
}

// Identity is who the pool was last taken for; false before that.
func (d *Dictionaries) Identity() (Identified, bool) {
	if last := d.identified.Load(); last != nil {
		return *last, true
	}
	return Identified{}, false
}

func (d *Dictionaries) confirm(node string, answer *msg.IdentifyResponse) {
	d.identified.Store(&Identified{Node: node, ClientID: answer.ClientID, Access: answer.Access, At: time.Now()})
}

// known is the hash to tell the next node; its dictionary is at hand.
func (d *Dictionaries) known() msg.Opt[string] {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// acquire returns the coder for what a node has answered, nil when it does not
// compress; release gives it back. found is false when the node confirms a hash whose
// dictionary is not at hand.
func (d *Dictionaries) acquire(answer *msg.IdentifyResponse) (coder *sharedCoder, found bool, err error) {
	hash, ok := answer.DictSHA256.Get()
	if !ok {
		return nil, true, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, true, ErrClosed
	}
	if coder, ok := d.coders[hash]; ok {
		return d.take(hash, coder), true, nil
	}
	if len(answer.DictBytes) == 0 {
		d.last = msg.None[string]()
		return nil, false, nil
	}
	if err := checkDictionary(hash, answer.DictBytes); err != nil {
		return nil, true, err
	}
	fresh, err := wire.NewCoder(answer.DictBytes)
	if err != nil {
		return nil, true, Violation("dictionary %s: %w", hash, err)
	}
	d.evict()
	if d.coders == nil {
		d.coders = make(map[string]*sharedCoder)
	}
	d.coders[hash] = &sharedCoder{Coder: fresh}
	return d.take(hash, d.coders[hash]), true, nil
}

// take counts a user. The caller holds the lock.
func (d *Dictionaries) take(hash string, coder *sharedCoder) *sharedCoder {
	d.uses++
	coder.users, coder.used = coder.users+1, d.uses
	d.last = msg.Some(hash)
	return coder
}

// evict makes room for another dictionary: the one taken least lately goes. The
// caller holds the lock.
func (d *Dictionaries) evict() {
	if len(d.coders) < maxDictionaries {
		return
	}
	var oldest string
	for hash, coder := range d.coders {
		if oldest == "" || coder.used < d.coders[oldest].used {
			oldest = hash
		}
	}
	d.drop(oldest)
}

// drop takes a coder out of the cache. The caller holds the lock.
func (d *Dictionaries) drop(hash string) {
	coder := d.coders[hash]
	delete(d.coders, hash)
	if coder.dropped = true; coder.users == 0 {
		coder.Close()
	}
}

// release gives a coder back that acquire has returned; nil is none.
func (d *Dictionaries) release(coder *sharedCoder) {
	if coder == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if coder.users--; coder.users == 0 && coder.dropped {
		coder.Close()
	}
}

// checkDictionary refuses a dictionary that is too large, or not what it says it is.
func checkDictionary(hash string, dictionary []byte) error {
	if len(dictionary) > largestDictionary {
		return Violation("dictionary of %d bytes, limit %d", len(dictionary), largestDictionary)
	}
	sum := sha256.Sum256(dictionary)
	if got := hex.EncodeToString(sum[:]); got != hash {
		return Violation("dictionary announced as %q hashes to %s", hash, got)
	}
	return nil
}

// Close lets go of the coders: each is closed when no connection uses it any more.
func (d *Dictionaries) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for hash := range d.coders {
		d.drop(hash)
	}
	d.last = msg.None[string]()
}
