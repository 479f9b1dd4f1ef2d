// Package msg is the vocabulary of the Celeriant event store: identifiers,
// keys, events and batches, every request and response of the client protocol,
// and the errors a node can answer.
//
// The types are plain values without behaviour of their own beyond
// conversions and predicates; they know nothing of encodings, connections or
// time. Layers above exchange them: internal/wire turns them into frames, the
// pool sends them, the stream engine reasons about them.
//
// Values that may be absent on the wire are [Opt]. Absent and zero are
// different everywhere: a batch with no user and a batch with user
// 00000000-0000-0000-0000-000000000000 are two different batches.
//
// Byte slices and event slices inside decoded responses alias the buffer they
// were decoded from; the function that returned the response says how long
// that buffer is valid. [Batch.Clone] detaches a batch from it.
package msg
