// Package cluster chooses the nodes that requests go to: it knows the members, finds out
// who leads, and decides what is tried again.
//
//	Do ─▶ route ─┬─ mutation ─▶ walk over the members, the leader first ─▶ node.Do
//	             ├─ read ─────▶ the leader, searched for in the background ─▶ node.Do
//	             └─ follower ─▶ followers in turn, then the leader ─────────▶ node.Do
//	                                  ▲                                        │
//	                                  └──── pause ◀─ decide ◀─ attempt ◀───────┘
//	Reads ─▶ the node that reads go to at present, if one can be told ─▶ node.Reads, one try
//
// All conclusions are drawn from attempts (conn.Attempt), in retry.go and evidence.go; none
// from a chain of errors of several nodes. Members are the configured nodes and those
// that members have named as leaders and the configuration lets be followed. Others can
// be asked as guests, which changes nothing about where anything else goes.
//
// Invariants:
//
//   - A mutation that may have been applied is sent again only where a second application
//     is impossible: anywhere with expected versions, at the same node with client
//     sequences alone, never otherwise.
//   - A node leads because it has said so itself, lately. Unknown is not yes.
//   - Searches and probes run in the background; callers wait for them with their own
//     deadlines. A caller's deadline that ended for want of an answer is evidence about
//     the node; a cancelled context is not.
//   - Every walk ends: each node is visited once, hints are followed a bounded number of
//     times, and FailoverBudget bounds the whole.
package cluster
