package lease

import (
	"fmt"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// The defaults and bounds of a lease.
const (
	DefaultTTL = 15 * time.Second
	MinTTL     = 3 * time.Second
	MaxTTL     = 10 * time.Minute
)

// ErrSuperseded: a member with the same label joined later. The later one runs
// in place of this one.
var ErrSuperseded = fmt.Errorf("lease: a member of the same label joined later: %w", checkpoint.ErrFenced)

// Options are what a Process is told.
type Options struct {
	// ID is unique among all processes that use the store, and their runs.
	ID   string
	Host Host
	// TTL is how long others wait for a heartbeat before they take over; heartbeats
	// are sent three times in it. Default 15 s, at least 3 s.
	TTL time.Duration
	// Alone: no other process can have the store open. Nothing is sent or waited for
	// then, and whatever others claimed is free.
	Alone bool
	// Ended reports whether facts prove that a process is gone; nil never.
	Ended func(Host) bool
	// Token draws the random part of a claim.
	Token func() checkpoint.Token
}

// Process decides for one process at one store: when it sends heartbeats, which
// partitions its members claim, ask for and give away, and whom it takes for gone.
// A Process is a pure state machine: every input, which is a method, leaves commands to be
// carried out, see Commands; it waits for nothing and reads no clock.
type Process struct {
	opts    Options
	peers   peers
	members map[string]*member
	order   []string // of the members, as they joined

	commands []Command
	lastID   uint64
	// version counts what may change the assignment.
	version uint64

	// The exchange: heartbeats and what others say.
	beat   uint64
	flying uint64 // the exchange under way, 0 for none
	sent   Instant
	next   time.Duration // when the next heartbeat is due
	soon   bool          // something changed that others should hear of
	// asked and answered number the exchanges; inquire asks for one at once.
	asked, answered uint64
	inquire         bool
	failures        int
	told            bool // a heartbeat with members is stored
	// The store's time, as an exchange told it.
	store   time.Time
	storeAt time.Duration
	known   bool
	// renewed is when the heartbeat that counts was sent; valid while leases stand.
	renewed Instant
	valid   bool
	swept   time.Duration // when a record of a process that is gone was removed last
}

// New returns a process without members.
func New(opts Options) *Process {
	if opts.TTL == 0 {
		opts.TTL = DefaultTTL
	}
	return &Process{
		opts:    opts,
		peers:   peers{self: opts.ID, all: make(map[string]*peer)},
		members: make(map[string]*member),
		known:   opts.Alone,
		valid:   opts.Alone,
	}
}

// CheckTTL returns an error unless ttl is one that leases can have.
func CheckTTL(ttl time.Duration) error {
	if ttl < MinTTL || ttl > MaxTTL {
		return fmt.Errorf("lease: a TTL of %v: want %v to %v", ttl, MinTTL, MaxTTL)
	}
	return nil
}

// Kind tells what a Command is.
type Kind uint8

// The commands. A command with an ID is answered by the input named.
const (
	// Exchange stores Value, unless it is nil, as the store's own record Key and
	// reads all of the store's records: Exchanged.
	Exchange Kind = iota + 1
	// Remove deletes the store's record Key, whose revision is Revision; zero is any.
	// Removed answers it if it has an ID.
	Remove
	// Read reads the records of Name, and its ownership if there is no definition
	// among them, see Defined: Found.
	Read
	// Apply applies Mutation to Name: Applied.
	Apply
	// Gained gives partitions to Member.
	Gained
	// Revoke has Member finish what it is at in Partitions: Finished, for each.
	Revoke
	// Lost takes partitions from Member at once.
	Lost
	// Signalled tells Member that somebody has signalled that the records of Name changed.
	Signalled
	// Redefined has Member follow another definition; it holds nothing then.
	Redefined
	// Ended ends Member with Err.
	Ended
	// Left says that Member holds nothing any more and is known to nobody.
	Left
)

// Reason is why a partition was lost.
type Reason uint8

// The reasons.
const (
	// Revoked: it was given to another member.
	Revoked Reason = iota + 1
	// Expired: the lease ran out, or somebody else claimed the partition.
	Expired
)

// Claimed is a partition that a member owns.
type Claimed struct {
	Partition uint32
	Owner     checkpoint.Owner
	// Start is the partition's start from now, nil for none.
	Start *Start
}

// Command is something to be done.
type Command struct {
	Kind         Kind
	ID           uint64
	Key          string
	Value        []byte
	Revision     uint64
	Name, Member string
	Mutation     checkpoint.Mutation
	Gained       []Claimed
	Partitions   Set
	Reason       Reason
	Definition   Definition
	Err          error
}

// Commands returns what is to be done, in order, and forgets it.
func (p *Process) Commands() []Command {
	commands := p.commands
	p.commands = nil
	return commands
}

func (p *Process) emit(c Command) { p.commands = append(p.commands, c) }

func (p *Process) newID() uint64 {
	p.lastID++
	return p.lastID
}

// Membership is one member of one subscription.
type Membership struct {
	// ID is unique; Label may be empty, see memberEntry.
	ID, Label string
	// Name is the subscription's.
	Name string
	// Definition is the one that is stored, Want what this member asked for.
	Definition, Want Definition
	// FromNow is the node's time, in milliseconds, where aggregates without a cursor
	// begin; 0 for the beginning.
	FromNow uint64
}

// Join adds a member. Its partitions follow as Gained.
func (p *Process) Join(now Instant, m Membership) {
	joined := int64(0)
	if p.opts.Alone {
		p.beat++
		joined = int64(p.beat)
	}
	p.members[m.ID] = &member{joined: joined, Membership: m, holds: make(map[uint32]*holding), frozen: make(map[uint32]bool)}
	p.order = append(p.order, m.ID)
	p.version++
	p.step(now)
}

// Leave has a member give up what it holds: Left follows. Its consumer has ended
// before.
func (p *Process) Leave(now Instant, id string) {
	if m := p.members[id]; m != nil {
		m.leaving, m.retryAt = true, 0
		p.version++
	}
	p.step(now)
}

// Tick lets time pass.
func (p *Process) Tick(now Instant) { p.step(now) }

// Exchanged answers Exchange.
func (p *Process) Exchanged(now Instant, id uint64, records []checkpoint.Record, store time.Time, err error) {
	if id != p.flying {
		return
	}
	p.flying = 0
	p.version++
	p.exchanged(now, records, store, err)
	p.step(now)
}

// Removed answers Remove.
func (p *Process) Removed(now Instant, id uint64, err error) {
	if id != p.flying {
		return
	}
	p.flying = 0
	if err != nil {
		p.failed(now)
	} else {
		p.told, p.failures = false, 0
		p.dropLeft()
	}
	p.step(now)
}

// Found answers Read. ownership is nil if there is a definition among the records.
func (p *Process) Found(now Instant, id uint64, records []checkpoint.Record, ownership *checkpoint.Ownership, err error) {
	for _, m := range p.members {
		if m.op == id {
			m.op = 0
			p.version++
			p.found(now, m, records, ownership, err)
		}
	}
	p.step(now)
}

// Applied answers Apply.
func (p *Process) Applied(now Instant, id uint64, err error) {
	for _, m := range p.members {
		if m.op == id {
			m.op = 0
			p.version++
			p.applied(now, m, err)
		}
	}
	p.step(now)
}

// Finished says that a member handles nothing of a revoked partition any more and
// that what it handled is stored.
func (p *Process) Finished(now Instant, id string, partition uint32) {
	if m := p.members[id]; m != nil {
		if h := m.holds[partition]; h != nil && h.phase == revoking {
			h.phase = finished
		}
	}
	p.step(now)
}

// Fenced says that a save under the claim was refused: somebody else has the
// partition, or it is no more.
func (p *Process) Fenced(now Instant, owner checkpoint.Owner) {
	for _, id := range p.order {
		m := p.members[id]
		h := m.holds[owner.Partition]
		if m.Name == owner.Name && h != nil && h.owner == owner {
			p.lose(m, Expired, owner.Partition)
			m.look = true
		}
	}
	p.step(now)
}

// Look has the records of a subscription read: something tells that they changed.
func (p *Process) Look(now Instant, name string) {
	for _, m := range p.members {
		if m.Name == name {
			m.look = true
		}
	}
	p.step(now)
}

// Started says that every aggregate of a partition has a cursor now.
func (p *Process) Started(now Instant, id string, partition uint32) {
	if m := p.members[id]; m != nil {
		if h := m.holds[partition]; h != nil && h.record.Start != nil {
			h.started = true
		}
	}
	p.step(now)
}

// Summarise sets what the next heartbeat tells of a member.
func (p *Process) Summarise(id string, s Summary) {
	if m := p.members[id]; m != nil {
		m.summary = s
	}
}

// Deadline is when the leases run out unless a heartbeat renews them, by both clocks;
// false while there is nothing that can run out.
func (p *Process) Deadline() (Instant, bool) {
	if p.opts.Alone || !p.valid {
		return Instant{}, false
	}
	margin := p.opts.TTL / 30
	return Instant{Mono: p.renewed.Mono + p.opts.TTL - margin, Wall: p.renewed.Wall.Add(p.opts.TTL - margin)}, true
}

// Wake is when Tick is due next; false for never.
func (p *Process) Wake(now Instant) (time.Duration, bool) {
	if len(p.members) == 0 && !p.told {
		return 0, false
	}
	var at time.Duration
	have := false
	consider := func(t time.Duration) {
		if !have || t < at {
			at, have = t, true
		}
	}
	if p.opts.Alone && p.flying == 0 {
		consider(p.next)
	}
	if !p.opts.Alone {
		if p.flying == 0 {
			consider(p.due(now.Mono))
		}
		if d, ok := p.Deadline(); ok {
			consider(min(d.Mono, now.Mono+max(0, d.Wall.Sub(now.Wall))))
		}
	}
	for _, m := range p.members {
		if at := max(m.wakeAt, m.retryAt); m.op == 0 && at > now.Mono {
			consider(at)
		}
		if m.op == 0 && m.restAt > now.Mono {
			consider(m.restAt)
		}
	}
	return at, have
}

// step does what follows from an input.
func (p *Process) step(now Instant) {
	p.expire(now)
	for _, id := range slices.Clone(p.order) {
		if m := p.members[id]; m != nil {
			p.advance(now, m)
		}
	}
	p.exchange(now)
}

// drop forgets a member.
func (p *Process) drop(m *member) {
	delete(p.members, m.ID)
	p.order = slices.DeleteFunc(p.order, func(id string) bool { return id == m.ID })
	p.soon = true
	p.version++
}

// end ends a member for good.
func (p *Process) end(m *member, err error) {
	if len(m.holds) > 0 {
		p.lose(m, Expired, m.held()...)
	}
	p.drop(m)
	p.emit(Command{Kind: Ended, Member: m.ID, Name: m.Name, Err: err})
}
