package writer

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
//     that is repeated after a crash derives the same sequence again. The
//     newest batch of the client on the aggregate must stay readable: not
//     trimmed, not deleted.
//   - [MemorySequences]: as above, for one process, where batches may become
//     unreadable while a command is repeated, but not across a restart.
//   - [FileSequences]: where a repeated command must find its sequence after a
//     crash although its batch may be unreadable by then, and for producers
//     that append without reading.
//
// All methods are safe for concurrent use.
type Sequences interface {
	// OpenClaim returns the first sequence of the command's open claim, if any.
	OpenClaim(ctx context.Context, key msg.Key, command msg.ID) (first msg.Opt[uint64], err error)
	// Claim takes count sequences, all above minSeq and above every sequence
	// taken before, for a command, in place of its claim so far. The sequences
	// are stored when it returns; after a failure they are not taken again.
	Claim(ctx context.Context, key msg.Key, command msg.ID, count int, minSeq uint64) (first uint64, err error)
	// CloseClaim ends the command's claim: its outcome is known.
	CloseClaim(ctx context.Context, key msg.Key, command msg.ID) error
}

// derivedSequences are those of the log.
type derivedSequences struct{}

func (derivedSequences) OpenClaim(context.Context, msg.Key, msg.ID) (msg.Opt[uint64], error) {
	return msg.None[uint64](), nil
}

func (derivedSequences) Claim(_ context.Context, _ msg.Key, _ msg.ID, count int, minSeq uint64) (uint64, error) {
	return nextSequences(minSeq, count)
}

func (derivedSequences) CloseClaim(context.Context, msg.Key, msg.ID) error { return nil }

// MemorySequences are sequences that are forgotten with the process. The zero
// value is ready for use.
type MemorySequences struct {
	mu     sync.Mutex
	claims claimTable
}

// OpenClaim returns the command's open claim.
func (s *MemorySequences) OpenClaim(_ context.Context, key msg.Key, command msg.ID) (msg.Opt[uint64], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims.open(key, command), nil
}

// Claim takes sequences; it fails with ErrSequences when MaxOpenClaims are open.
func (s *MemorySequences) Claim(_ context.Context, key msg.Key, command msg.ID, count int, minSeq uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims.claim(key, command, count, minSeq)
}

// CloseClaim ends the command's claim.
func (s *MemorySequences) CloseClaim(_ context.Context, key msg.Key, command msg.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims.close(key, command)
	return nil
}

// claimTable holds the sequences taken and the claims that are open.
type claimTable struct {
	last  uint64 // the highest sequence ever taken
	first map[claimKey]uint64
}

// claimKey names the command that has a claim.
type claimKey struct {
	key     msg.Key
	command msg.ID
}

func (t *claimTable) open(key msg.Key, command msg.ID) msg.Opt[uint64] {
	if first, ok := t.first[claimKey{key, command}]; ok {
		return msg.Some(first)
	}
	return msg.None[uint64]()
}

func (t *claimTable) claim(key msg.Key, command msg.ID, count int, minSeq uint64) (uint64, error) {
	k := claimKey{key, command}
	if _, again := t.first[k]; !again && len(t.first) >= MaxOpenClaims {
		return 0, fmt.Errorf("%w: %d claims are open, limit %d", ErrSequences, len(t.first), MaxOpenClaims)
	}
	first, err := nextSequences(max(t.last, minSeq), count)
	if err != nil {
		return 0, err
	}
	if t.first == nil {
		t.first = make(map[claimKey]uint64)
	}
	t.last = first + uint64(count) - 1
	t.first[k] = first
	return first, nil
}

func (t *claimTable) close(key msg.Key, command msg.ID) { delete(t.first, claimKey{key, command}) }

// nextSequences returns the first of count sequences above minSeq. A sequence that
// wrapped around would be 0, which nodes take for none and never compare.
func nextSequences(minSeq uint64, count int) (uint64, error) {
	if count < 1 {
		return 0, fmt.Errorf("%w: %d asked for, at least 1", ErrSequences, count)
	}
	if minSeq > math.MaxUint64-uint64(count) {
		return 0, fmt.Errorf("%w: %d above %d are more than 64 bits hold", ErrSequences, count, minSeq)
	}
	return minSeq + 1, nil
}
