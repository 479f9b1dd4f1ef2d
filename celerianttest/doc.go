// Package celerianttest is a Celeriant node inside your process: it speaks the
// real client protocol, over TCP and through memory, in both versions, and can
// be told to misbehave. The node is made for tests; the examples run on it,
// too.
//
//	node := celerianttest.Run(t, celerianttest.Options{Shards: 4})
//	client, err := pool.New(pool.Options{Address: node.Addr()})
//
// The zero [Options] give one shard, a free port of 127.0.0.1 and data in
// memory. With Options.DataRoot a node keeps its data in files and survives a
// kill of its process. A node is no database product: all data is also in
// memory.
//
// # Faults
//
// [Node.Intercept] shows every frame to a function that lets it pass, delays,
// drops, cuts, corrupts, stalls or answers it. [Node.CutConnections],
// [Node.Pause], [Node.Kill] and [Node.Restart] do what their names say.
//
// # Virtual time
//
// With Options.InMemory a node runs inside a testing/synctest bubble: all its
// waiting is durable, so heartbeats, latencies and time-outs take no real time.
//
// # Agreement with the reference server
//
// With Options.Quirks the node gives the answers recorded from a single node of
// the reference server, accidents included. Accidents a client must survive,
// and that are off without Quirks:
//
//   - after a restart deleted aggregates can look alive, trims can be forgotten,
//     and counters fall back to the newest batch;
//   - reads from version 1 run into earlier lives of a recreated aggregate, and
//     a continuation makes trimmed batches readable again;
//   - a response that exceeds its limit is never sent, and the connection stays
//     open: a read whose next batch alone is larger than the response limit, an
//     error message that does not fit a fixed frame;
//   - API keys are demanded only in an Identify, so leaving it out gets around them;
//   - a connection that served a request for another shard forgets that its
//     client has the compression dictionary.
//
// Without Quirks the node deviates on purpose, so that a test fails for its own
// reasons only:
//
//   - reads show the current life only and a restart changes nothing;
//   - pages of reads and lists never exceed the response limit, they end
//     earlier; a single batch over the limit is refused with error 1004, whose
//     detail names it;
//   - an error message that is too long is cut, and stays valid JSON;
//   - with API keys configured a connection whose first frame is no Identify is
//     refused with 10005 and closed.
//
// In both modes the node has a compression dictionary of its own, and a watch
// frame over the response limit ends its watch. Errors that only failing
// hardware or overload produce do not occur, but for 2008, 2026, 3003 and 4005
// when a file of the DataRoot cannot be written: the shard then refuses every
// change until the node is restarted.
//
// # Pairs
//
// [StartPair] and [RunPair] give two nodes, one leading and one following, that
// can be killed, paused, fenced, separated and failed over; how far the
// follower lags and what it tells about the leader can be set. The recordings
// of a pair of the reference server hold on it, with and without Quirks.
// Replication is modelled, not spoken: time passes where a client could tell
// (lag, take-over, rejoining), and a batch is with the other node at once.
// Changes are never refused for back-pressure (2012, 3006, 4007), a leader
// without a follower and without the object store never fences itself, and a
// take-over takes the same time right after an election as later. A node shows
// at once what it notifies, unless Options.ReadLag makes its leader do as the
// leader of a pair of the reference server does under load.
//
// # Concurrency
//
// One goroutine serves a connection, one more while it watches. A shard is
// guarded by one lock that is never held while a socket or file is used.
// Making changes readable and queueing their notifications is one step, so
// without Options.ReadLag a notification is never ahead of what a read on this
// node shows.
package celerianttest
