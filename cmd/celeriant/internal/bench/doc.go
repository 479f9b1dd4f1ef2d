// Package bench measures a node through the pool: how many operations a second
// it performs, how long they take, and how much processor time the client
// spends on each.
//
// The data of all workloads is predictable: organisation 1, aggregate type 1,
// aggregates 0 to N-1 for those that share it, fresh aggregates of other types
// for those that only write. Payloads are pseudo-random letters.
//
// Time is taken from the monotonic clock and processor time from the kernel's
// account of the whole process, from the end of the warm-up to the end of the
// measurement. Every workload stops at the first failure: a figure is printed
// only for a run in which every operation succeeded. Loops allocate nothing
// per event; counting costs one clock reading per operation.
package bench
