// Package node is the connections of one pool to one node: at most so many at once, the
// idle ones on a stack, callers waiting in line, and a breaker before the dialler.
//
//	Do ─▶ acquire ─▶ idle stack ─▶ line of waiters ◀─ grant ◀─ release, opening
//	          └────────▶ breaker ─▶ opening (in the background)
//
// The package knows one node; which node a request goes to, and whether it is sent
// again, is decided above, on the attempts recorded here.
//
// Invariants:
//
//   - A slot is the right to have one connection: taken before dialling, freed after
//     closing, given back by defer whatever user code does. A caller that frees one passes it to
//     the first in line.
//   - Connections are opened in the background under the pool's own limits. Callers wait
//     for them with their own deadlines; one that leaves ends nothing.
//   - A waiter is woken by every release, by every opening and by Close.
//   - Close waits for requests, openings and watches, but never for user code, which may
//     be what calls it.
package node
