package celerianttest

import "time"

// flagSpecs are the flags the node takes, in the order of the help text.
var flagSpecs = []flagSpec{
	{"standalone", "", "accepted: the node is always standalone", accepted},
	{"listen-address", "HOST", "address to listen on (default 127.0.0.1; the reference server's is 0.0.0.0)", setHost},
	{"client-port", "PORT", "port to listen on, 0 picks a free one (default 10000)", setPort},
	{"data-root", "FOLDER", "keep the data in this folder, and read api_keys.toml there (default: memory only)", setDataRoot},
	{"num-shards", "N", "number of shards (default 1; the reference server's is the number of CPUs)",
		number(1, func(p *parsedFlags) *int { return &p.Shards })},
	{"routing-rule", "RULE", "aggregate_id, aggregate_type_id or org_id decides the shard (default aggregate_id)", setRouting},
	{"reserve-coordinator-shard", "", "keep shard 0 free of data",
		switchOn(func(p *parsedFlags) *bool { return &p.ReserveCoordinator })},
	{"max-request-size", "BYTES", "largest request (default 16777216)",
		number(1, func(p *parsedFlags) *uint32 { return &p.MaxRequestSize })},
	{"max-response-size", "BYTES", "largest response (default 67108864)",
		number(1, func(p *parsedFlags) *uint32 { return &p.MaxResponseSize })},
	{"list-page-size", "N", "entries older log segments add to a page of a list (default 2000)",
		number(1, func(p *parsedFlags) *int { return &p.ListPageSize })},
	{"client-connection-timeout-ms", "MS", "how long a client may take to send a request, idle time included (default 30000)",
		duration(time.Millisecond, 1, func(p *parsedFlags) *time.Duration { return &p.IdleTimeout })},
	{"max-requested-latency-ms", "MS", "longest latency a watch may ask for (default 2000)",
		duration(time.Millisecond, 1, func(p *parsedFlags) *time.Duration { return &p.MaxLatency })},
	{"max-watch-subscribers", "N", "watches per shard (default 16384)",
		number(1, func(p *parsedFlags) *int { return &p.MaxWatchSubscribers })},
	{"max-schema-size-bytes", "BYTES", "longest schema text (default 16384)",
		number(1, func(p *parsedFlags) *int { return &p.MaxSchemaSize })},
	{"shard-log-preallocate-bytes", "BYTES", "size of a log segment, which decides the pages of lists; nothing is preallocated (default 1073741824)",
		number(8193, func(p *parsedFlags) *uint64 { return &p.SegmentBytes })},
	{"fsync-delay-us", "US", "how long a commit group is collected (default 0; the reference server's is 4000)",
		duration(time.Microsecond, 0, func(p *parsedFlags) *time.Duration { return &p.CommitDelay })},
	{"require-client-identity", "", "refuse clients that do not identify first",
		switchOn(func(p *parsedFlags) *bool { return &p.RequireIdentity })},
	{"insecure-allow-plaintext-auth", "", "accepted, no effect: keys and identities are always taken over plain connections", accepted},
	{"memory-budget-bytes", "BYTES", "accepted, no effect: the node holds all data in memory",
		number(0, func(*parsedFlags) *uint64 { return new(uint64) })},
	{"read-lag-ms", "MS", "notify changes up to so long before reads show them (default 0; not a flag of that server)",
		duration(time.Millisecond, 0, func(p *parsedFlags) *time.Duration { return &p.ReadLag })},
	{"quirks", "", "reproduce the accidents of the reference server (not a flag of that server)",
		switchOn(func(p *parsedFlags) *bool { return &p.Quirks })},
}

// referenceOnlyFlags are the flags of the reference server the node does not
// take. Server semantics 11.3.
const referenceOnlyFlags = `
replication-port metrics-port metrics-enabled mesh-channel-size log-level
replication-delay-us s3-replication-delay-us replication-rollback-cooldown-us
internode-max-request-size list-max-duration-ms list-max-concurrent read-max-concurrent max-open-files
memory-consumption-percent compaction-check-interval-secs compaction-min-reclaimable-ratio compaction-temp-dir
wal-compression-level timestamp-precision timestamp-epoch-offset-secs
advertised-client-address advertised-replication-address heartbeat-interval-ms heartbeat-timeout-ms
heartbeat-lease-duration-ms heartbeat-starve-threshold-ms s3-lease-duration-ms max-clock-drift-ms
internode-connection-timeout-ms internode-request-timeout-ms
s3-enabled s3-region s3-bucket s3-access-key-id s3-secret-access-key s3-subfolder s3-endpoint-override
s3-allow-http s3-skip-signature s3-retry-max-duration-secs
tls-mode tls-ca-cert tls-node-cert tls-node-key tls-client-cert tls-client-key tls-intracluster-ca-cert
tls-client-auth tls-cert-reload-interval-secs`
