// Package pool performs the requests of the Celeriant protocol on a bounded set
// of reused connections: reads, conditional writes, trims, deletes, details,
// schemas, lists over all shards, and watches.
//
//	p, err := pool.New(pool.Options{Address: "127.0.0.1:10000"})
//	version, err := p.WriteEvents(ctx, key, events, clientID, pool.WriteOptions{})
//	for batch, err := range p.ReadAll(ctx, key, msg.ReadFilters{}) { ... }
//
// # The path of a request
//
//	operations         what can be asked: requests.go, write.go, delete.go, list.go,
//	   │               readall.go, readpages.go
//	Pool.perform, Conn.do                             counts, hooks, the error
//	   │
//	internal/cluster   route ─▶ walk ─▶ attempt ─▶ decide ─▶ pause ─▶ again or elsewhere
//	   │                        members, leader, retry
//	internal/node      acquire: idle stack ─▶ line of waiters ◀─ openings behind a breaker
//	   │
//	internal/conn      encode ─▶ write ─▶ read ─▶ decode; dial, TLS, Identify, watch frames
//
// Records of attempts decide which requests are sent again: mutations in
// internal/cluster/retry.go; reads once more on a fresh connection in internal/node/do.go,
// unless the node itself is silent (health.go beside it), at another node in internal/cluster/route.go, and page by page in reader.go. Several reads on
// one connection (readpages.go) go through Reads of each layer, in one try; what is left
// of them goes the way above. The documentation of each layer names its invariants. A
// [Conn] stands on internal/conn alone.
//
// # Connections
//
// The connection used last is used next, so that a pool keeps no more open than
// it needs; before use it is checked, without waiting, for a close by the node, unless it
// was in use within the last millisecond and the request can be repeated. Connections are opened in the background. At the ceiling callers wait in line, first
// come first served, until their context ends; every connection that is given back or
// closed wakes the first. A connection whose request was sent but whose answer was not
// read to the end is closed, always: on errors, timeouts and cancelled contexts alike.
// When one that was idle turns out to be silent, those idle since then are dropped, and a
// read is tried once more on a fresh one. Whether the connection or its node is silent
// is found out meanwhile: when half of RequestTimeout has passed the node is asked on
// another connection. So a silent node costs one RequestTimeout, not two.
//
// [Pool.ReadPages] has several reads under way on one connection, which a node answers
// in order. A read that is not answered there is asked for by itself.
//
// # Nodes
//
// With seed addresses, or once a node has named another one as the leader, a
// pool knows several nodes. Mutations go to the leader: the node that took the
// last one, else node after node, following what each says about who leads. An
// election, or a leader too busy, is waited out for FailoverBudget with pauses
// of 50 ms growing to 1 s. Reads, lists, details and watches go to the leader
// too, which is searched for, without changing anything, by writes of no events, and
// asked again in the background while it is used; they wait through an
// election likewise, at most 100 ms at a time. RouteReadsToFollowers sends them to the
// followers in turn. [Pool.ReadMin] reads what was written whatever node answers,
// [Pool.AtLeader] and [Pool.At] bind all operations to the leader or to one node.
//
// Deadlines may be short: searches, dials and probes go on when a caller leaves, and
// what a silent node did to a caller's deadline counts against the node. A node that
// cannot be connected to, or is silent, is asked after those that can. After three
// failures in a row it is left alone for a moment and then dialled by one at a time. The
// moment is at most a hundredth of the time it has been away, within 50 ms and
// 2 s: 100 ms after ten seconds. Connections that exist are used all the same.
// One address alone that cannot be reached is reported at once.
//
// A key that may only read cannot ask who leads: reads then go to the first member that
// answers, and [Pool.Leads] says [LeadershipUnknown].
//
// Credentials go to configured addresses only, unless Options.Trust says otherwise.
//
// # What is sent twice
//
// A request that was certainly not applied goes to the next node or is sent again later.
// A request that may have been applied is sent again only when the node can
// refuse the second application: anywhere for writes of which every part has an
// expected version, deletes of expected versions, trims and schemas; to the same node
// only for writes of which some part has client sequences alone. Every failure after that
// is Unsure: a version conflict may be the echo of the request's own success. Any other
// mutation that may have been applied is never resent. Requests that change nothing are
// repeated when their connection is lost.
//
// # Commands
//
// Package pool/writer takes care of mutations whose outcome is unknown: it
// applies commands at most once, and usually exactly once.
//
// # Identity and encryption
//
// With Options.Identity every connection, those of watches included, introduces
// itself with an API key, an RSA key pair, or both ([FixedIdentity],
// [FileIdentity]); none is ever used without. [Pool.Identity] tells what a node
// has confirmed. With Options.TLS connections are encrypted, in TLS 1.3 only.
// Keys and certificates are asked for anew for each connection ([FileIdentity],
// [RootsFile], [CertificateFiles]), so that they can be replaced at any time. Keys
// print redacted and are in no error and no log.
//
// # One connection
//
// [Connect] opens a single connection, a [Conn], with the same operations and none
// of a pool's conveniences: nothing is sent twice, nothing goes to another node,
// and when the connection has ended it stays so.
//
// # Errors
//
// Operations fail with an [*Error]. A refusal by the node is a *[msg.ServerError]
// in its chain and matches the sentinels of package msg; what
// happened on the way matches the sentinels of this package. The chain is that of the
// cause; what other attempts met is in [Error.Attempts]. For decisions ask
// [msg.Ambiguous] (it may have been applied), [msg.SafeToRetry] (it was
// certainly not, and the same request may succeed) and [msg.Timeout].
package pool
