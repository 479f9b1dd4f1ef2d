package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// positionStore is the checkpoint store of a session's subscription, and takes what
// its client acknowledges.
type positionStore interface {
	checkpoint.Store
	// handled notes what the client acknowledges.
	handled(changes []stream.Change, ranges []*pb.Range) error
	// storing reports whether something acknowledged is not stored yet. The caller
	// holds the session's lock.
	storing() bool
	// answer takes the answer to a look-up.
	answer(m *pb.Cursors) error
}

func newPositionStore(ses *session) positionStore {
	if ses.conf.holder == byGateway {
		return &namedPositions{Store: ses.server.opts.Checkpoints, ses: ses}
	}
	if ses.conf.holder == byClient {
		return &clientPositions{
			Store: checkpoint.NewMemory(), ses: ses, turns: make(chan struct{}, mostLookUps),
			lookUps: make(map[uint64]*lookUp), starting: make(map[msg.Key]*starting),
		}
	}
	if ses.conf.live {
		return &passingPositions{ses: ses} // the subscription keeps them itself
	}
	return &passingPositions{checkpoint.NewMemory(), ses}
}

// subscription returns the session's subscription, once it is open.
func (ses *session) subscription() *stream.Subscription {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	return ses.sub
}

// passingPositions remembers the positions of a stream that nobody stores.
type passingPositions struct {
	*checkpoint.Memory
	ses *session
}

func (p *passingPositions) storing() bool { return false }

func (p *passingPositions) handled(changes []stream.Change, _ []*pb.Range) error {
	if err := p.ses.remember(changes); err != nil {
		return err
	}
	return p.ses.subscription().Commit(p.ses.ctx, stream.Entries(changes))
}

func (p *passingPositions) answer(*pb.Cursors) error {
	return invalid(errors.New("a message Cursors came, and nothing was looked up"))
}

const (
	// mostLookUps bounds the look-ups in flight, of at most 512 keys each.
	mostLookUps = 4
	// lookUpPatience is how long an answer may take before the state says so.
	lookUpPatience = 30 * time.Second
)

// clientPositions asks the client for the positions it stores. Ownership is the
// client's own affair: the compare-and-set of its store. clientPositions keeps no
// records, so that the mark of a start from now is a position, which the client
// stores, too.
type clientPositions struct {
	checkpoint.Store
	ses   *session
	turns chan struct{}

	mu       sync.Mutex
	last     uint64
	lookUps  map[uint64]*lookUp
	starting map[msg.Key]*starting
}

// lookUp is one that waits for its answer.
type lookUp struct {
	keys   int
	answer chan []checkpoint.Cursor
}

// starting is a set of first positions that wait for their acknowledgement.
type starting struct {
	left int
	done chan struct{}
}

// Load implements checkpoint.Store. Aggregates with something outstanding are not
// asked for: what the client says of them may be about to change. Such aggregates
// are where their oldest outstanding change begins.
func (p *clientPositions) Load(ctx context.Context, _ string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	cursors := make([]checkpoint.Cursor, len(keys))
	var asked []msg.Key
	var places []int
	p.ses.mu.Lock()
	for i, key := range keys {
		if oldest, _, ok := p.ses.ledger.Of(key); ok {
			cursors[i] = oldest.Previous
			continue
		}
		asked, places = append(asked, key), append(places, i)
	}
	p.ses.mu.Unlock()
	for len(asked) > 0 {
		n := min(len(asked), mostKeys)
		found, err := p.ask(ctx, asked[:n])
		if err != nil {
			return nil, err
		}
		for i := range found {
			cursors[places[i]] = found[i]
		}
		asked, places = asked[n:], places[n:]
	}
	return cursors, nil
}

// ask sends one look-up and waits for its answer.
func (p *clientPositions) ask(ctx context.Context, keys []msg.Key) ([]checkpoint.Cursor, error) {
	select {
	case p.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-p.turns }()
	l := &lookUp{keys: len(keys), answer: make(chan []checkpoint.Cursor, 1)}
	p.mu.Lock()
	p.last++
	id := p.last
	p.lookUps[id] = l
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.lookUps, id)
		p.mu.Unlock()
	}()
	p.ses.out.control(&pb.SubscribeResponse{Message: &pb.SubscribeResponse_LookUp{LookUp: &pb.LookUp{Id: id, Keys: convert.KeyMessages(keys)}}})
	late := time.NewTimer(lookUpPatience)
	defer late.Stop()
	for {
		select {
		case cursors := <-l.answer:
			return cursors, nil
		case <-late.C:
			p.ses.unanswered.Add(1)
			defer p.ses.unanswered.Add(-1)
			p.ses.out.touch()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// answer implements positionStore.
func (p *clientPositions) answer(m *pb.Cursors) error {
	p.mu.Lock()
	l := p.lookUps[m.GetLookUp()]
	delete(p.lookUps, m.GetLookUp())
	p.mu.Unlock()
	if l == nil {
		return invalid(fmt.Errorf("look_up %d is not waiting for an answer", m.GetLookUp()))
	}
	if len(m.Cursors) != l.keys {
		return invalid(fmt.Errorf("look_up %d asked for %d cursors: %d came", m.GetLookUp(), l.keys, len(m.Cursors)))
	}
	cursors := make([]checkpoint.Cursor, len(m.Cursors))
	for i, b := range m.Cursors {
		var err error
		if cursors[i], err = convert.Cursor(fmt.Sprintf("cursors[%d]", i), b); err != nil {
			return invalid(err)
		}
	}
	l.answer <- cursors
	return nil
}

// Save implements checkpoint.Store: the subscription stores first positions itself,
// those of a start from now. The client stores them as it stores any position.
func (p *clientPositions) Save(ctx context.Context, _ checkpoint.Owner, entries []checkpoint.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	s := &starting{left: len(entries), done: make(chan struct{})}
	p.mu.Lock()
	for _, e := range entries {
		p.starting[e.Key] = s
	}
	p.mu.Unlock()
	if err := p.ses.enqueue(order{started: entries}); err != nil {
		return err
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *clientPositions) storing() bool { return false }

// handled implements positionStore.
func (p *clientPositions) handled(changes []stream.Change, _ []*pb.Range) error {
	moved := changes[:0]
	p.mu.Lock()
	for _, c := range changes {
		if c.Kind != kindStarted {
			moved = append(moved, c)
			continue
		}
		if s := p.starting[c.Key]; s != nil {
			delete(p.starting, c.Key)
			if s.left--; s.left == 0 {
				close(s.done)
			}
		}
	}
	p.mu.Unlock()
	p.ses.subscription().Committed(stream.Entries(moved))
	return nil
}
