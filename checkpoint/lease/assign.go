package lease

import (
	"cmp"
	"slices"
)

// nobody holds a partition that is free.
const nobody = -1

// assignment works out who is to own which partition. It is a pure function of
// the definition, the members and what they hold, so that members who see the same
// agree without talking:
//
//   - quotas differ by one at most, and what a member holds it keeps within its quota;
//   - a member touches few groups, which are the partitions of the same shards, so
//     that it watches and lists few shards: ⌈groups/members⌉ + 1, and rarely one more,
//     where only moves of what others hold could avoid that;
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
	if slices.Equal(a.owner, a.holder) {
		a.repair()
	}
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

// balance moves what members hold beyond their quotas to those with room. Where the
// one with room would come into too many groups, it goes by way of others, each of
// whom passes on a partition of a group that the next may be in.
func (a *assignment) balance() {
	for {
		way := a.shortestWay()
		if way == nil {
			break
		}
		for _, s := range way {
			p := a.pick(s.group, s.from)
			a.take(p)
			a.give(p, s.to)
		}
	}
	for from := range a.members {
		for to := 0; to < len(a.members) && a.count[from] > a.quota[from]; to++ {
			for a.count[from] > a.quota[from] && a.count[to] < a.quota[to] {
				p := a.pick(a.leastGroup(from), from)
				a.take(p)
				a.give(p, to)
			}
		}
	}
}

// stage passes one partition of a group on.
type stage struct {
	from, to int
	group    uint32
}

// shortestWay leads from a member with a surplus to one with room, or is nil. Of
// equally short ones it takes one that ends in a group the last member is in.
func (a *assignment) shortestWay() []stage {
	var found []stage
	reached := make([]stage, len(a.members))
	seen := make([]bool, len(a.members))
	var queue []int
	for m := range a.members {
		if a.count[m] > a.quota[m] {
			seen[m], reached[m] = true, stage{from: nobody}
			queue = append(queue, m)
		}
	}
	length := make([]int, len(a.members))
	for len(queue) > 0 {
		from := queue[0]
		queue = queue[1:]
		if found != nil && length[from] >= len(found) {
			break
		}
		for _, group := range a.groupsOf(from) {
			for to := range a.members {
				inside, room := a.in[to][group] > 0, a.count[to] < a.quota[to]
				if seen[to] && !room || from == to || !inside && len(a.in[to]) >= a.mostGroups() {
					continue
				}
				switch {
				case !room:
					queue = append(queue, to)
				case found == nil || inside:
					found = append([]stage{{from, to, group}}, trace(reached, from)...)
					if inside {
						return found
					}
					continue
				default:
					continue
				}
				seen[to], reached[to], length[to] = true, stage{from, to, group}, length[from]+1
			}
		}
	}
	return found
}

// trace returns the stages to a member, the last one first: the next has room then.
func trace(reached []stage, to int) (way []stage) {
	for m := to; reached[m].from != nobody; m = reached[m].from {
		way = append(way, reached[m])
	}
	return way
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

func (a *assignment) leastGroup(m int) uint32 { return a.groupsOf(m)[0] }

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

// repair exchanges partitions so that members come into fewer groups, where they
// are in too many. It is done at rest only, and only with members that are in the
// group to be left already: then whoever sees half of the exchange done completes it.
func (a *assignment) repair() {
	for m := range a.members {
		for len(a.in[m]) > a.mostGroups() && a.leaveGroup(m) {
		}
	}
}

// leaveGroup exchanges one partition of a group that the member has little of for
// one of a group that it stays in.
func (a *assignment) leaveGroup(m int) bool {
	groups := a.groupsOf(m)
	for i, left := range groups {
		for _, kept := range slices.Backward(groups[i+1:]) {
			for other := range a.members {
				if other != m && a.in[other][left] > 0 && a.in[other][kept] > 0 {
					given, got := a.pick(left, m), a.pick(kept, other)
					a.take(given)
					a.take(got)
					a.give(given, other)
					a.give(got, m)
					return true
				}
			}
		}
	}
	return false
}
