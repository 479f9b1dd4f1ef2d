package lease

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// phase is where a holding stands.
type phase uint8

const (
	held     phase = iota
	revoking       // its consumer finishes
	finished       // its consumer has finished; it is to be given away
)

// holding is a partition that a member owns.
type holding struct {
	owner   checkpoint.Owner
	record  Partition
	phase   phase
	to      string // who gets it
	started bool   // its start was made and is to be stored
}

// member is the state of one Membership.
type member struct {
	Membership
	joined  int64
	entered bool // a heartbeat tells of it
	sent    bool // the heartbeat under way tells of it
	leaving bool
	holds   map[uint32]*holding
	asks    Set
	summary Summary
	// frozen are the partitions that are stopped, as the records said last.
	frozen map[uint32]bool
	// signal is what was signalled last, if it was looked at.
	signal    uint64
	signalled bool
	// look: the records are to be read. wakeAt is when they are looked at again,
	// wait how long the last wait was.
	look   bool
	wakeAt time.Duration
	wait   time.Duration
	// crowd are the members seen last, since crowdAt; restAt is when they have
	// rested, 0 if they have.
	crowd   []string
	crowdAt time.Duration
	restAt  time.Duration
	// retryAt is when the next request may be made after one that failed.
	retryAt time.Duration
	// want are the partitions that it is to own and does not, as of version planned.
	want          Set
	planned       uint64
	plannedRested bool
	sights        map[uint32]sight // of the claims of others
	// starts is when a start from now is that is still to be made, 0 for none, as the
	// records said last.
	starts uint64
	// op is the request under way; claiming, giving and storing are what it changes.
	op       uint64
	claiming []Claimed
	records  map[uint32]Partition
	giving   Set
	storing  Set
	// most bounds the partitions of one claim, 0 for as many as may be; from is the one
	// with which the next begins. Both follow a claim that failed, see narrow.
	most int
	from uint32
}

func (m *member) has(partition uint32) bool { return m.holds[partition] != nil }

// left reports whether nothing is left to give up.
func (m *member) left() bool { return m.leaving && len(m.holds) == 0 && m.op == 0 }

func (m *member) held() Set { return Set(slices.Sorted(maps.Keys(m.holds))) }

// told is what a heartbeat says the member holds: also what it is claiming, whose
// answer may be late.
func (m *member) told() Set {
	held := m.held()
	for _, c := range m.claiming {
		held = append(held, c.Partition)
	}
	return NewSet(held...)
}

// mostChanges bounds the partitions that one mutation changes.
const mostChanges = 400

// advance does what a member can do at this moment.
func (p *Process) advance(now Instant, m *member) {
	switch {
	case m.op != 0 || now.Mono < m.retryAt:
		return
	case m.leaving:
		p.release(m, m.held())
		return
	case !p.valid || !m.entered && !p.opts.Alone:
		return
	}
	seats := p.seats(m.Name, m.Definition.Generation)
	for i := range seats {
		if seats[i].local == m && seats[i].superseded {
			p.end(m, ErrSuperseded)
			return
		}
	}
	want, asks, give := m.want, Set(nil), map[uint32]string(nil)
	if rested := p.rested(now, m, seats); m.planned != p.version || rested != m.plannedRested {
		want, asks, give = p.plan(m, seats, rested)
		m.want, m.planned, m.plannedRested = want, p.version, rested
	} else {
		asks = m.asks
	}
	if !slices.Equal(asks, m.asks) {
		m.asks, p.soon = asks, true
		m.wait, m.wakeAt = 0, now.Mono
	}
	p.revoke(m, give)
	if m.look {
		// Before anything else is changed: what is given away along with a partition
		// that somebody else took would be refused with it, again and again.
		p.read(now, m)
		return
	}
	if p.release(m, m.finished()) || p.storeStarts(m) {
		return
	}
	free := len(want) > len(asks)
	if (free || len(asks) > 0) && now.Mono >= m.wakeAt {
		p.read(now, m)
	}
}

// revoke begins to give partitions away.
func (p *Process) revoke(m *member, give map[uint32]string) {
	var revoked Set
	for _, q := range slices.Sorted(maps.Keys(give)) {
		h := m.holds[q]
		if h.phase == held {
			h.phase = revoking
			revoked = append(revoked, q)
		}
		h.to = give[q]
	}
	if len(revoked) > 0 {
		p.emit(Command{Kind: Revoke, Member: m.ID, Name: m.Name, Partitions: revoked})
	}
}

func (m *member) finished() Set {
	var out Set
	for q, h := range m.holds {
		if h.phase == finished {
			out = append(out, q)
		}
	}
	return NewSet(out...)
}

// release gives partitions up, to a successor where there is one; false if there is
// nothing to give.
func (p *Process) release(m *member, partitions Set) bool {
	if len(partitions) == 0 {
		return false
	}
	m.giving = partitions[:min(len(partitions), mostChanges)]
	mutation := checkpoint.Mutation{}
	for _, q := range m.giving {
		h := m.holds[q]
		next := h.record
		next.Process, next.Member, next.For = "", "", ""
		if !m.leaving {
			next.For = h.to
		}
		mutation.Records = append(mutation.Records, change(q, h.record.encode(), next))
	}
	m.op = p.newID()
	p.emit(Command{Kind: Apply, ID: m.op, Name: m.Name, Mutation: mutation})
	return true
}

// change replaces a partition's record.
func change(partition uint32, before []byte, next Partition) checkpoint.RecordChange {
	c := checkpoint.RecordChange{Key: checkpoint.PartitionKey(partition), Value: next.encode()}
	if before != nil {
		c.Revision = checkpoint.RevisionOf(before)
	}
	return c
}

// storeStarts stores that starts were made.
func (p *Process) storeStarts(m *member) bool {
	var mutation checkpoint.Mutation
	for _, q := range m.held() {
		h := m.holds[q]
		if !h.started || len(mutation.Records) == mostChanges {
			continue
		}
		next := h.record
		next.Start = &Start{Since: h.record.Start.Since, Made: true}
		mutation.Records = append(mutation.Records, change(q, h.record.encode(), next))
		m.storing = append(m.storing, q)
	}
	if len(m.storing) == 0 {
		return false
	}
	m.op = p.newID()
	p.emit(Command{Kind: Apply, ID: m.op, Name: m.Name, Mutation: mutation})
	return true
}

func (p *Process) read(now Instant, m *member) {
	m.look = false
	m.wait = min(max(2*m.wait, p.opts.TTL/30), p.interval())
	m.wakeAt = now.Mono + m.wait
	m.op = p.newID()
	p.emit(Command{Kind: Read, ID: m.op, Name: m.Name})
}

// found takes in the records of the partitions and claims what the member is to own
// and nobody holds.
func (p *Process) found(now Instant, m *member, records []checkpoint.Record, ownership *checkpoint.Ownership, err error) {
	if err != nil {
		m.retryAt, m.look = now.Mono+m.wait, true
		return
	}
	if m.leaving || !p.valid {
		return
	}
	guard := uint64(0)
	control, _ := checkpoint.ParseControl(records)
	stored := make(map[uint32]checkpoint.Record)
	parsed := make(map[uint32]Partition)
	for _, r := range records {
		if r.Key == definitionKey {
			if !p.follow(m, r) {
				return
			}
			guard = r.Revision
			continue
		}
		q, ok := partitionOf(r.Key)
		if !ok || q >= m.Definition.Count() {
			continue
		}
		part, err := ParsePartition(r)
		if err != nil {
			p.end(m, err)
			return
		}
		stored[q], parsed[q] = r, part
	}
	if guard == 0 {
		p.undefined(m, ownership)
		return
	}
	clear(m.frozen)
	stopped := make(map[uint32]checkpoint.Stopped)
	for _, s := range control.Stopped {
		m.frozen[s.Partition] = s.Blocks(m.Want.Handler)
		stopped[s.Partition] = s
	}
	for _, q := range m.held() {
		if m.frozen[q] && m.holds[q].phase == held {
			p.lose(m, Revoked, q) // its owner stopped it
		}
	}
	p.recognise(m, parsed)
	seats := p.seats(m.Name, m.Definition.Generation)
	want, _, _ := p.plan(m, seats, false)
	mutation := checkpoint.Mutation{Records: []checkpoint.RecordChange{{Key: definitionKey, Revision: guard, Check: true}}}
	m.claiming, m.records, m.starts = nil, make(map[uint32]Partition), m.startsAt(parsed)
	most := cmp.Or(m.most, mostChanges)
	for _, q := range startingAt(m.from, want) {
		part := parsed[q]
		if p.claims(m, seats, q, part) || part.For != m.ID && p.reserved(seats, part, q) || len(m.claiming) == most {
			continue
		}
		next := p.claim(m, q, part)
		m.records[q] = next
		m.claiming = append(m.claiming, Claimed{Partition: q, Owner: owner(m.Name, q, next), Start: next.Start})
		mutation.Records = append(mutation.Records, change(q, stored[q].Value, next))
		if s, ok := stopped[q]; ok {
			mutation.Restart(s) // by another handler version
		}
	}
	if len(m.claiming) == 0 {
		return
	}
	m.op = p.newID()
	p.emit(Command{Kind: Apply, ID: m.op, Name: m.Name, Mutation: mutation})
}

// startingAt returns a set in a circle from a partition on.
func startingAt(from uint32, s Set) Set {
	at, _ := slices.BinarySearch(s, from)
	return slices.Concat(s[at:], s[:at])
}

// narrow has the next claims take fewer partitions, and others first, after one that
// failed: a transaction of a process that was stopped may hold one of them, and the rest
// must not wait for that.
func (m *member) narrow(failed []Claimed) {
	if len(failed) == 0 {
		return
	}
	m.most = max(1, len(failed)/2)
	m.from = failed[len(failed)-1].Partition + 1
	if len(failed) > 1 {
		m.from = failed[m.most].Partition
	}
}

// widen undoes narrow while claims succeed.
func (m *member) widen() {
	if m.most *= 4; m.most >= mostChanges {
		m.most = 0
	}
}

// recognise gives up holdings that the records contradict.
func (p *Process) recognise(m *member, parsed map[uint32]Partition) {
	for _, q := range m.held() {
		if r := parsed[q]; r.Epoch != m.holds[q].owner.Epoch || r.Token != m.holds[q].owner.Token || r.Member != m.ID {
			p.lose(m, Expired, q)
		}
	}
}

// reserved reports whether the partition was given to a member that still asks for it.
func (p *Process) reserved(seats []seat, r Partition, partition uint32) bool {
	return r.For != "" && slices.ContainsFunc(seats, func(s seat) bool {
		return s.id == r.For && !s.superseded && s.asks.Has(partition)
	})
}

// claim makes the next record of a partition.
func (p *Process) claim(m *member, partition uint32, before Partition) Partition {
	next := before
	next.Epoch = max(before.Epoch, m.Definition.epoch()) + 1
	next.Token = p.opts.Token()
	next.Process, next.Member, next.For = p.opts.ID, m.ID, ""
	if before.Epoch <= m.Definition.epoch() {
		next.Start = nil // of other partitions
		if m.starts != 0 {
			next.Start = &Start{Since: m.starts}
		}
	}
	return next
}

// startsAt is when the group starts, if it starts now; 0 otherwise. The first claim of
// any partition decides, also for those that are claimed later, or divided anew before
// each of them has made its start.
func (m *member) startsAt(records map[uint32]Partition) uint64 {
	claimed, since := m.Definition.began(records)
	switch {
	case m.Definition.Started:
		return 0
	case !claimed:
		return m.FromNow
	}
	return since
}

func owner(name string, partition uint32, r Partition) checkpoint.Owner {
	return checkpoint.Owner{Name: name, Epoch: r.Epoch, Token: r.Token, Leased: true, Partition: partition}
}

// Defined reports whether there is a definition among the records of a subscription.
func Defined(records []checkpoint.Record) bool {
	return slices.ContainsFunc(records, func(r checkpoint.Record) bool { return r.Key == definitionKey })
}

// follow takes in the stored definition; false if the member has ended, or has to
// begin anew.
func (p *Process) follow(m *member, r checkpoint.Record) bool {
	d, err := ParseDefinition(m.Name, r.Value)
	if err == nil && d.Generation != m.Definition.Generation {
		if err = d.Accept(m.Name, m.Want); err == nil {
			p.redefine(m, d)
			return false
		}
	}
	if err != nil {
		p.end(m, err)
		return false
	}
	return true
}

// undefined is for a subscription without a definition: it was deleted, has another
// owner, or is about to be defined anew.
func (p *Process) undefined(m *member, ownership *checkpoint.Ownership) {
	if ownership == nil || !ownership.Claimed {
		p.end(m, &checkpoint.FencedError{Owner: checkpoint.Owner{Name: m.Name}, Deleted: true})
		return
	}
	if s, superseded, _ := checkpoint.ParseSupersession(m.Name, ownership.Scope); superseded {
		p.end(m, &checkpoint.SupersededError{Name: m.Name, By: s.By})
		return
	}
	_, divided, err := ParseScope(m.Name, ownership.Scope)
	switch {
	case err != nil:
		p.end(m, err)
	case !divided:
		p.end(m, &checkpoint.FencedError{Owner: checkpoint.Owner{Name: m.Name}, Newest: ownership.Epoch})
	case len(m.holds) > 0:
		p.lose(m, Expired, m.held()...)
	}
}

func (p *Process) redefine(m *member, d Definition) {
	if len(m.holds) > 0 {
		p.lose(m, Revoked, m.held()...)
	}
	// A heartbeat tells of the generation before anything is claimed in it: otherwise
	// others would take the claims for those of somebody who is gone.
	m.Definition, m.asks, m.look, m.entered = d, nil, true, false
	clear(m.frozen)
	p.emit(Command{Kind: Redefined, Member: m.ID, Name: m.Name, Definition: d})
}

// lose takes partitions from a member.
func (p *Process) lose(m *member, reason Reason, partitions ...uint32) {
	for _, q := range partitions {
		delete(m.holds, q)
	}
	p.soon = true
	p.version++
	p.emit(Command{Kind: Lost, Member: m.ID, Name: m.Name, Partitions: NewSet(partitions...), Reason: reason})
}

// applied takes in what came of a claim, a release or a start.
func (p *Process) applied(now Instant, m *member, err error) {
	claiming, giving, storing := m.claiming, m.giving, m.storing
	m.claiming, m.giving, m.storing = nil, nil, nil
	if err != nil {
		p.refused(now, m, claiming, err)
		return
	}
	m.wait, m.wakeAt = 0, now.Mono
	clear(m.sights)
	for _, q := range giving {
		delete(m.holds, q)
		p.soon = true
	}
	for _, q := range storing {
		if h := m.holds[q]; h != nil {
			h.record.Start = &Start{Since: h.record.Start.Since, Made: true}
			h.started = false
		}
	}
	if len(claiming) == 0 {
		return
	}
	m.widen()
	if !p.valid {
		// The lease ran out meanwhile: the record stays this process's, and is claimed
		// again.
		return
	}
	for _, c := range claiming {
		m.holds[c.Partition] = &holding{owner: c.Owner, record: m.records[c.Partition]}
	}
	p.soon, m.look = true, false
	if !m.leaving {
		p.emit(Command{Kind: Gained, Member: m.ID, Name: m.Name, Gained: claiming})
	}
}

// refused is what follows a mutation that failed: the records tell the truth.
func (p *Process) refused(now Instant, m *member, claiming []Claimed, err error) {
	var revision *checkpoint.RevisionError
	switch {
	case m.leaving && (errors.As(err, &revision) || errors.Is(err, checkpoint.ErrDeleted)):
		clear(m.holds) // somebody took over already, or will
		return
	case m.leaving:
		m.retryAt = now.Mono + p.opts.TTL/30
		return
	}
	m.look = true
	if !errors.As(err, &revision) && !errors.Is(err, checkpoint.ErrDeleted) {
		m.narrow(claiming)
		if len(claiming) < 2 {
			m.wait *= 2
		}
		m.wait = min(max(m.wait, p.opts.TTL/150), p.interval())
		m.retryAt = now.Mono + m.wait
	}
}
