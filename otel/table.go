package otel

// Kind is the type of an instrument.
type Kind string

// The kinds, in the words of OpenTelemetry.
const (
	Counter       Kind = "counter"
	UpDownCounter Kind = "updowncounter"
	Histogram     Kind = "histogram"
	Gauge         Kind = "gauge"
)

// Instrument describes one instrument.
type Instrument struct {
	Name       string
	Kind       Kind
	Unit       string
	Attributes []string
	// Answers is the question that the instrument answers.
	Answers string
}

// The names of the instruments.
const (
	requestDuration     = "db.client.operation.duration"
	requestRetries      = "celeriant.request.retries"
	ambiguousWrites     = "celeriant.write.ambiguous"
	connections         = "db.client.connection.count"
	pendingRequests     = "db.client.connection.pending_requests"
	leaderChanges       = "celeriant.node.leader_changes"
	nodeUp              = "celeriant.node.up"
	subscriptionState   = "celeriant.subscription.state"
	subscriptionBacklog = "celeriant.subscription.unhandled"
	oldestPending       = "celeriant.subscription.oldest_pending"
	retrying            = "celeriant.subscription.retrying"
	reconnects          = "celeriant.subscription.reconnects"
	followerLag         = "celeriant.subscription.follower_lag"
	buffered            = "celeriant.subscription.buffered"
	voids               = "celeriant.subscription.voids"
	reconcileDuration   = "celeriant.reconcile.duration"
	processDuration     = "messaging.process.duration"
	consumedMessages    = "messaging.client.consumed.messages"
	commitDuration      = "celeriant.commit.duration"
	commitDelay         = "celeriant.commit.to_ack.delay"
	verdicts            = "celeriant.verdicts"
	parked              = "celeriant.parked"
	unreadable          = "celeriant.unreadable"
	partitions          = "celeriant.partitions"
	leasesLost          = "celeriant.lease.lost"
	rebuildRemaining    = "celeriant.rebuild.remaining"
	awaitDuration       = "celeriant.await.duration"
	callDuration        = "rpc.server.call.duration"
	gatewayStreams      = "celeriant.gateway.streams"
	gatewayStalled      = "celeriant.gateway.stalled"
	gatewayDenied       = "celeriant.gateway.denied"
	gatewayEvictions    = "celeriant.gateway.evictions"
)

// The names of the attributes.
const (
	system        = "db.system.name"
	operation     = "db.operation.name"
	errorType     = "error.type"
	poolName      = "db.client.connection.pool.name"
	poolState     = "db.client.connection.state"
	serverAddress = "server.address"
	role          = "celeriant.node.role"
	group         = "messaging.consumer.group.name"
	messaging     = "messaging.system"
	messagingOp   = "messaging.operation.name"
	messageCount  = "messaging.batch.message_count" // of spans alone
	phase         = "celeriant.phase"
	what          = "celeriant.what"
	kind          = "celeriant.kind"
	reason        = "celeriant.reason"
	verdict       = "celeriant.verdict"
	state         = "celeriant.state"
	mode          = "celeriant.mode"
	transport     = "celeriant.transport"
	store         = "celeriant.store"
	outcome       = "celeriant.outcome"
	rpcSystem     = "rpc.system.name"
	rpcMethod     = "rpc.method"
	rpcStatus     = "rpc.response.status_code"
)

// Instruments is the table of all instruments, which documentation, the Prometheus names
// and the tests of both are made from.
var Instruments = []Instrument{
	{requestDuration, Histogram, "s", []string{system, operation, errorType}, "are requests slow or failing"},
	{requestRetries, Counter, "{retry}", []string{operation, errorType}, "which trouble do retries hide"},
	{ambiguousWrites, Counter, "{write}", []string{operation}, "which writes need a person, because nobody knows whether they were applied"},
	{connections, UpDownCounter, "{connection}", []string{poolName, poolState}, "how many connections are open, used and idle"},
	{pendingRequests, UpDownCounter, "{request}", []string{poolName}, "do requests wait for a connection"},
	{leaderChanges, Counter, "{change}", nil, "does the leader change again and again"},
	{nodeUp, Gauge, "1", []string{serverAddress, role}, "which node can be connected to, and leads or follows"},
	{subscriptionState, Gauge, "1", []string{group, phase}, "is the subscription live"},
	{subscriptionBacklog, Gauge, "{version}", []string{group}, "how much is known and not committed"},
	{oldestPending, Gauge, "s", []string{group}, "how old is the oldest change that is not committed"},
	{retrying, Gauge, "s", []string{group, what}, "what is the subscription stuck on, and for how long"},
	{reconnects, Counter, "{connection}", []string{group, errorType}, "does the network lose watches"},
	{followerLag, Gauge, "s", []string{group}, "are reads at the follower stale"},
	{buffered, Gauge, "By", []string{group}, "who brakes: a full buffer means the consumer, an empty one the node"},
	{voids, Counter, "{change}", []string{group, kind}, "was history lost or rewritten"},
	{reconcileDuration, Histogram, "s", []string{group, reason}, "how long does it take to list a shard and compare it with the cursors"},
	{processDuration, Histogram, "s", []string{messaging, messagingOp, group, errorType}, "how fast are handlers"},
	{consumedMessages, Counter, "{message}", []string{messaging, messagingOp, group}, "how many events are handled"},
	{commitDuration, Histogram, "s", []string{group, store, errorType}, "how fast is the checkpoint store"},
	{commitDelay, Histogram, "s", []string{group}, "how long does a change take from the node's time until it is committed"},
	{verdicts, Counter, "{verdict}", []string{group, verdict}, "do handlers fail, and what follows"},
	{parked, Gauge, "{aggregate}", []string{group}, "how many aggregates are set aside until a person decides"},
	{unreadable, Gauge, "{aggregate}", []string{group}, "how many aggregates rest since a batch of theirs cannot be read"},
	{partitions, Gauge, "{partition}", []string{group, state}, "does somebody own every partition"},
	{leasesLost, Counter, "{lease}", []string{group, reason}, "are partitions lost because their leases are not renewed in time"},
	{rebuildRemaining, Gauge, "{version}", []string{group}, "how much of its predecessor's history has a rebuild to handle before a cut-over"},
	{awaitDuration, Histogram, "s", []string{group, outcome}, "how long do readers wait for their own writes, and in vain"},
	{callDuration, Histogram, "s", []string{rpcSystem, rpcMethod, rpcStatus}, "are the gateway's calls slow or failing"},
	{gatewayStreams, UpDownCounter, "{stream}", []string{mode, transport}, "how many streams does the gateway serve"},
	{gatewayStalled, Gauge, "{stream}", []string{mode, transport}, "how many of their clients do not read"},
	{gatewayDenied, Counter, "{call}", []string{rpcMethod, reason}, "does somebody try what is not allowed, or more than a limit lets"},
	{gatewayEvictions, Counter, "{stream}", []string{reason}, "which streams does the gateway end against their clients' will"},
}
