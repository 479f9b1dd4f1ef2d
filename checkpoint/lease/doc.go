// Package lease divides a subscription among processes, so that each aggregate has
// one owner at a time and another one soon after its owner is gone.
//
// A [Definition] says which partition an aggregate is in. The definition is stored with
// the subscription ([Declare]) and stays the same whatever the cluster becomes, until
// [Repartition] or a member that adopts replaces it. A partition is owned by who claimed
// it last: the claim, a counter and 128 random bits, is in the partition's record, and a
// save under an older claim is refused by the store. This rule alone keeps two owners
// apart.
//
// Everything else only decides who tries to claim, and when. Each [Process] stores
// one heartbeat for all its members in a third of the TTL, which says what they hold
// and what they ask for, and reads those of the others. All work out the same
// assignment from that: shares that differ by one at most, of few shards each, with
// as few moves as that takes. A partition that nobody alive holds is claimed by the
// one it is assigned to; one that is held is given away by its owner, once its new
// owner asks for it, and the members have been the same for a third of the TTL.
//
// A process counts as gone when its heartbeat ran out by the store's clock and was seen
// unchanged for half a TTL, or was seen unchanged for a whole one. Its own leases run
// out a little earlier, by the monotonic clock or the one on the wall, whichever is
// first. So clocks that differ or jump cost time, and no more: they decide when to try,
// never who is right.
//
// The package is pure but for [Declare], [Repartition] and [ReadProgress], which use a
// store. Package stream runs a Process for the subscriptions of a program.
package lease
