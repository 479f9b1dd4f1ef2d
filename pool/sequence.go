package pool

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/celeriant/celeriant-go/msg"
)

// ErrSequences: a client sequence could not be had, so nothing was sent.
var ErrSequences = errors.New("no client sequence")

// MaxOpenClaims is how many claims a store of this package keeps open at once.
const MaxOpenClaims = 10_000

// Sequences gives out the client sequences of one client id and remembers
// which of them belong to commands whose outcome is open. A [Writer] asks it
// before each first attempt. Sequences grow over all aggregates together, so
// one number is all there is to store besides the open claims.
//
// There are three to choose from:
//
//   - none (nil): a sequence is derived from the log, as one more than the
//     highest the client id has used on the aggregate. Nothing needs to be
//     stored, any number of processes may share the client id, and a command
//     that is repeated after a crash derives the same sequence again. It takes
//     that the newest batch of the client on the aggregate stays readable: not
//     trimmed, not deleted.
//   - [MemorySequences]: as above, for one process, where batches may become
//     unreadable while a command is repeated, but not across a restart.
//   - [FileSequences]: where a repeated command must find its sequence after a
//     crash although its batch may be unreadable by then, and for producers
//     that append without reading.
//
// All methods are safe for concurrent use.
type Sequences interface {
	// Open returns the first sequence of the command's open claim, if any.
	Open(ctx context.Context, key msg.Key, command msg.ID) (first msg.Opt[uint64], err error)
	// Claim takes count sequences, all above floor and above every sequence
	// taken before, for a command, in place of its claim so far. They are
	// stored when it returns; after a failure they are not taken again.
	Claim(ctx context.Context, key msg.Key, command msg.ID, count int, floor uint64) (first uint64, err error)
	// Settle ends the command's claim: what became of it is known.
	Settle(ctx context.Context, key msg.Key, command msg.ID) error
}

// derivedSequences are those of the log.
type derivedSequences struct{}

func (derivedSequences) Open(context.Context, msg.Key, msg.ID) (msg.Opt[uint64], error) {
	return msg.None[uint64](), nil
}

func (derivedSequences) Claim(_ context.Context, _ msg.Key, _ msg.ID, count int, floor uint64) (uint64, error) {
	return above(floor, count)
}

func (derivedSequences) Settle(context.Context, msg.Key, msg.ID) error { return nil }

// MemorySequences are sequences that are forgotten with the process. The zero
// value is ready for use.
type MemorySequences struct {
	mu   sync.Mutex
	book sequenceBook
}

// Open returns the command's open claim.
func (s *MemorySequences) Open(_ context.Context, key msg.Key, command msg.ID) (msg.Opt[uint64], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.open(key, command), nil
}

// Claim takes sequences; it fails with ErrSequences when MaxOpenClaims are open.
func (s *MemorySequences) Claim(_ context.Context, key msg.Key, command msg.ID, count int, floor uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.claim(key, command, count, floor)
}

// Settle ends the command's claim.
func (s *MemorySequences) Settle(_ context.Context, key msg.Key, command msg.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.settle(key, command)
	return nil
}

// sequenceBook is the account of sequences taken.
type sequenceBook struct {
	last   uint64 // the highest ever taken
	claims map[claimant]uint64
}

// claimant is who has a claim.
type claimant struct {
	key     msg.Key
	command msg.ID
}

func (b *sequenceBook) open(key msg.Key, command msg.ID) msg.Opt[uint64] {
	if first, ok := b.claims[claimant{key, command}]; ok {
		return msg.Some(first)
	}
	return msg.None[uint64]()
}

func (b *sequenceBook) claim(key msg.Key, command msg.ID, count int, floor uint64) (uint64, error) {
	who := claimant{key, command}
	if _, again := b.claims[who]; !again && len(b.claims) >= MaxOpenClaims {
		return 0, fmt.Errorf("%w: %d claims are open, limit %d", ErrSequences, len(b.claims), MaxOpenClaims)
	}
	first, err := above(max(b.last, floor), count)
	if err != nil {
		return 0, err
	}
	if b.claims == nil {
		b.claims = make(map[claimant]uint64)
	}
	b.last = first + uint64(count) - 1
	b.claims[who] = first
	return first, nil
}

func (b *sequenceBook) settle(key msg.Key, command msg.ID) { delete(b.claims, claimant{key, command}) }

// above returns the first of count sequences above floor. A sequence that
// wrapped around would be 0, which nodes take for none and never compare.
func above(floor uint64, count int) (uint64, error) {
	if count < 1 {
		return 0, fmt.Errorf("%w: %d asked for, at least 1", ErrSequences, count)
	}
	if floor > math.MaxUint64-uint64(count) {
		return 0, fmt.Errorf("%w: %d above %d are more than 64 bits hold", ErrSequences, count, floor)
	}
	return floor + 1, nil
}
