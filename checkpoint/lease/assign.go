package lease

import (
	"cmp"
	"slices"
)

// nobody holds a partition that is free.
const nobody = -1

// assignment works out who is to own which partition. The assignment is a pure
// function of the definition, the members and what they hold, so that members who
// see the same agree without talking:
//
//   - quotas differ by one at most, and what a member holds it keeps within its quota;
//   - a member touches few groups, which are the partitions of the same shards, so
//     that it watches and lists few shards: ⌈groups/members⌉ + 1 as a rule, more where
//     only moves of what others hold could avoid that, since these could go on for ever;
//   - what is free in a group goes to members that are in the group already, then
//     to those with the greatest weight for it.
type assignment struct {
	group   []uint32 // of each partition
	groups  int
	members []string
	holder  []int // of each partition, an index of members or nobody
	frozen  []bool

	quota []int
	owner []int // the result, so far
	count []int // partitions of each member
	in    []map[uint32]int
}

// assign returns the index of the member that is to own each partition. holder
// says who holds it now; frozen ones, which may be nil, belong to nobody.
func assign(d Definition, members []string, holder []int, frozen []bool) []int {
	a := &assignment{members: members, holder: holder, frozen: frozen}
	if a.frozen == nil {
		a.frozen = make([]bool, len(holder))
	}
	a.group = make([]uint32, len(holder))
	for p := range holder {
		a.group[p] = d.group(uint32(p))
		a.groups = max(a.groups, int(a.group[p])+1)
	}
	if len(members) == 0 {
		return a.none()
	}
	a.setQuotas()
	a.keep()
	a.distribute()
	a.balance()
	return a.owner
}

func (a *assignment) none() []int { return slices.Repeat([]int{nobody}, len(a.holder)) }

// mostGroups is how many groups a member may touch.
func (a *assignment) mostGroups() int {
	m := len(a.members)
	return (a.groups+m-1)/m + 1
}

// setQuotas gives the larger quotas to those who hold most.
func (a *assignment) setQuotas() {
	held, live := make([]int, len(a.members)), 0
	for p, m := range a.holder {
		if a.frozen[p] {
			continue
		}
		live++
		if m != nobody {
			held[m]++
		}
	}
	order := make([]int, len(a.members))
	for m := range order {
		order[m] = m
	}
	slices.SortFunc(order, func(m, n int) int {
		return cmp.Or(cmp.Compare(held[n], held[m]), a.byWeight(0, m, n))
	})
	a.quota = make([]int, len(a.members))
	for place, m := range order {
		a.quota[m] = live / len(order)
		if place < live%len(order) {
			a.quota[m]++
		}
	}
}

// byWeight orders members for a group, the first one first.
func (a *assignment) byWeight(group uint32, m, n int) int {
	return cmp.Or(
		cmp.Compare(weight(group, a.members[n]), weight(group, a.members[m])),
		cmp.Compare(a.members[m], a.members[n]),
	)
}

func (a *assignment) give(partition, member int) {
	a.owner[partition] = member
	a.count[member]++
	a.in[member][a.group[partition]]++
}

func (a *assignment) take(partition int) {
	member, group := a.owner[partition], a.group[partition]
	a.owner[partition] = nobody
	a.count[member]--
	if a.in[member][group]--; a.in[member][group] == 0 {
		delete(a.in[member], group)
	}
}

func (a *assignment) clear() {
	a.owner = a.none()
	a.count = make([]int, len(a.members))
	a.in = make([]map[uint32]int, len(a.members))
	for m := range a.in {
		a.in[m] = make(map[uint32]int)
	}
}

// keep leaves each member what it holds.
func (a *assignment) keep() {
	a.clear()
	for p, m := range a.holder {
		if m != nobody && !a.frozen[p] {
			a.give(p, m)
		}
	}
}

// distribute fills the quotas with what is free, one group after the other.
func (a *assignment) distribute() {
	free := make([][]int, a.groups)
	for p, owner := range a.owner {
		if owner == nobody && !a.frozen[p] {
			free[a.group[p]] = append(free[a.group[p]], p)
		}
	}
	for group, partitions := range free {
		if len(partitions) == 0 {
			continue
		}
		for _, m := range a.takers(uint32(group)) {
			n := min(a.quota[m]-a.count[m], len(partitions))
			for _, p := range partitions[:n] {
				a.give(p, m)
			}
			if partitions = partitions[n:]; len(partitions) == 0 {
				break
			}
		}
	}
}

// takers are the members with room, in the order in which a group is offered to
// them: those in it, those that have begun to fill, then by weight.
func (a *assignment) takers(group uint32) []int {
	var takers []int
	rank := make([]int, len(a.members))
	for m := range a.members {
		if a.count[m] >= a.quota[m] {
			continue
		}
		takers = append(takers, m)
		switch {
		case a.in[m][group] > 0:
			rank[m] = 0
		case a.count[m] > 0 && len(a.in[m]) < a.mostGroups():
			rank[m] = 1
		case a.count[m] == 0:
			rank[m] = 2
		default:
			rank[m] = 3
		}
	}
	slices.SortFunc(takers, func(m, n int) int {
		return cmp.Or(cmp.Compare(rank[m], rank[n]), a.byWeight(group, m, n))
	})
	return takers
}

// balance moves what members hold beyond their quotas to those with room, one partition
// at a time. Each move takes one from a surplus and makes none, and is decided by the
// state alone: so whoever sees some of the moves done goes on from there, none is ever
// undone, and there are no more of them than partitions held beyond the quotas.
func (a *assignment) balance() {
	for {
		m, found := a.bestMove()
		if !found {
			return
		}
		p := a.pick(m.group, m.from)
		a.take(p)
		a.give(p, m.to)
	}
}

// move passes one partition of a group on.
type move struct {
	from, to int
	group    uint32
}

// bestMove returns the move from a surplus to room that scatters groups least.
func (a *assignment) bestMove() (best move, found bool) {
	score := 0
	for from := range a.members {
		if a.count[from] <= a.quota[from] {
			continue
		}
		for _, group := range a.groupsOf(from) {
			for to := range a.members {
				if a.count[to] >= a.quota[to] {
					continue
				}
				if s := a.score(move{from, to, group}); !found || s > score {
					best, score, found = move{from, to, group}, s, true
				}
			}
		}
	}
	return best, found
}

// score prefers the last partition that a member has of a group, then a taker that is in the
// group already, then one that may come into another group.
func (a *assignment) score(m move) int {
	score := len(a.holder)*4 - a.in[m.from][m.group]
	switch inside := a.in[m.to][m.group]; {
	case inside > 0:
		return score + inside + len(a.holder)*8
	case len(a.in[m.to]) < a.mostGroups():
		return score + len(a.holder)*4
	}
	return score - len(a.in[m.to])
}

// groupsOf are the groups that a member is in, those that it has least of first.
func (a *assignment) groupsOf(m int) []uint32 {
	groups := make([]uint32, 0, len(a.in[m]))
	for g := range a.in[m] {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(g, h uint32) int {
		return cmp.Or(cmp.Compare(a.in[m][g], a.in[m][h]), cmp.Compare(h, g))
	})
	return groups
}

// pick returns the member's last partition of a group, rather one that it does not
// hold yet.
func (a *assignment) pick(group uint32, member int) int {
	found := nobody
	for p, owner := range a.owner {
		switch {
		case owner != member || a.group[p] != group:
		case found == nobody, a.holder[p] != member, a.holder[found] == member:
			found = p
		}
	}
	return found
}
