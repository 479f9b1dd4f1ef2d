package msg

import "fmt"

// Code is the error code of an ErrorResponse. Protocol section 14.3.
type Code uint32

// The error codes. 4001, 8000 and 9000 cannot be produced over the wire by the
// reference server; unknown codes are preserved as numbers.
const (
	CodeVersionUnavailable  Code = 1000 // read below the trim floor; Requested, MinimumAvailable
	CodeReadNotFound        Code = 1001 // read of a missing or deleted aggregate
	CodeReadCacheTimeout    Code = 1002
	CodeReadCacheScan       Code = 1003
	CodeReadDataBlocks      Code = 1004
	CodeReadMetadataBlocks  Code = 1005
	CodeEmptyEvents         Code = 2000 // a write without events
	CodeZeroEventType       Code = 2001 // an event of major type 0; ClientSeq
	CodeDuplicate           Code = 2002 // client sequence already stored; LastClientSeq, AttemptedClientSeq
	CodeVersionConflict     Code = 2003 // version guard failed; ExpectedVersion, CurrentVersion
	CodeWriteSerialise      Code = 2004
	CodeWriteNotFound       Code = 2005 // aggregate missing, creation not allowed
	CodeRecreateNotAllowed  Code = 2006 // aggregate deleted for good
	CodeWriteReplication    Code = 2007 // outcome unknown
	CodeWriteSync           Code = 2008 // outcome unknown
	CodeWriteClientCache    Code = 2009
	CodeWriteExistenceCache Code = 2010
	CodeWriteNotLeader      Code = 2011 // LeaderAddress
	CodeWriteBackpressure   Code = 2012
	CodeInFlight            Code = 2013 // duplicate of a write not yet committed; LastClientSeq, AttemptedClientSeq
	CodeSchemaExists        Code = 2020 // EventTypeMajor, EventTypeMinor
	CodeSchemaInvalid       Code = 2021 // SchemaType, Detail
	CodeSchemaMismatch      Code = 2022 // an event does not match; EventTypeMajor, EventTypeMinor, ClientSeq, Detail
	CodeSchemaUncompilable  Code = 2023 // the stored schema does not compile; as CodeSchemaMismatch
	CodeSchemaUnsupported   Code = 2024 // SchemaType
	CodeSchemaCache         Code = 2025
	CodeSchemaSync          Code = 2026 // outcome unknown
	CodeSchemaNotLeader     Code = 2027 // LeaderAddress
	CodeSchemaReplication   Code = 2028 // outcome unknown
	CodeSchemaPartial       Code = 2029 // not applied on all shards; FailedShards, TotalShards
	CodeTrimNotFound        Code = 3000
	CodeTrimCache           Code = 3001
	CodeTrimReplication     Code = 3002 // outcome unknown
	CodeTrimSync            Code = 3003 // outcome unknown
	CodeTrimBeyondEnd       Code = 3004 // Requested, MaxVersion
	CodeTrimNotLeader       Code = 3005 // LeaderAddress
	CodeTrimBackpressure    Code = 3006
	CodeDeleteNotFound      Code = 4000
	CodeEmptyDeletes        Code = 4001
	CodeDeleteConflict      Code = 4002 // ExpectedVersion, CurrentVersion
	CodeDeleteCache         Code = 4003
	CodeDeleteReplication   Code = 4004 // outcome unknown
	CodeDeleteSync          Code = 4005 // outcome unknown
	CodeDeleteNotLeader     Code = 4006 // LeaderAddress
	CodeDeleteBackpressure  Code = 4007
	CodeListOrgs            Code = 5000
	CodeListTypes           Code = 5001
	CodeListAggregates      Code = 5002
	CodeDetailsCache        Code = 7000
	CodeDetailsNotFound     Code = 7001
	CodeDetailsMetadata     Code = 7002
	CodeWatchInvalid        Code = 8000
	CodeWatchLatency        Code = 8001 // RequestedMS, MaxMS
	CodeWatchIO             Code = 8002
	CodeWatchSerialise      Code = 8003
	CodeWatchOther          Code = 8004
	CodeWatchSubscribers    Code = 8005 // ActiveSubscribers, MaxSubscribers
	CodeNoRoutingKey        Code = 9000
	CodeSeveralShards       Code = 9001 // NumShards
	CodeRouting             Code = 9002 // NumShards, Detail
	CodeNonce               Code = 10001
	CodeSignature           Code = 10002
	CodeClientIDMismatch    Code = 10003
	CodeIdentityRequired    Code = 10004
	CodeAPIKeyRequired      Code = 10005
	CodeAPIKeyInvalid       Code = 10006
	CodeReadOnlyKey         Code = 10007
	CodeServerBusy          Code = 11000
)

// Class says what a client should do about an error. Protocol section 14.2.
type Class uint8

// The classes.
const (
	// ClassFinal must not be retried unchanged. Unknown codes belong here.
	ClassFinal Class = iota
	// ClassRedirect means: go to the leader or to another node.
	ClassRedirect
	// ClassBusy means: back off and retry.
	ClassBusy
	// ClassTransient is a fault of the node; the outcome of a mutation may be unknown.
	ClassTransient
	// ClassConflict means: read the state again and decide again.
	ClassConflict
	// ClassDuplicate means: something with this client sequence is already stored.
	ClassDuplicate
	// ClassAuth means: fix the credentials.
	ClassAuth
)

// String returns the class's name.
func (c Class) String() string {
	switch c {
	case ClassFinal:
		return "final"
	case ClassRedirect:
		return "redirect"
	case ClassBusy:
		return "busy"
	case ClassTransient:
		return "transient"
	case ClassConflict:
		return "conflict"
	case ClassDuplicate:
		return "duplicate"
	case ClassAuth:
		return "auth"
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// fate tells whether the request behind an error may have been applied.
type fate uint8

const (
	// rejected: not applied, and the same request will be refused again.
	rejected fate = iota
	// notApplied: not applied, and the same request may succeed later or elsewhere.
	notApplied
	// unknown: may have been applied.
	unknown
)

type codeInfo struct {
	name  string
	class Class
	fate  fate
}

// codes follows protocol section 14.3. The fate column follows the rule of
// never resending what may have been applied: every transient fault of a
// mutation counts as unknown, because nothing on the wire says in which step
// it happened.
var codes = map[Code]codeInfo{
	CodeVersionUnavailable:  {"version unavailable", ClassFinal, rejected},
	CodeReadNotFound:        {"aggregate not found", ClassFinal, rejected},
	CodeReadCacheTimeout:    {"cache load timed out", ClassTransient, notApplied},
	CodeReadCacheScan:       {"cache load failed", ClassTransient, notApplied},
	CodeReadDataBlocks:      {"data blocks unreadable", ClassTransient, notApplied},
	CodeReadMetadataBlocks:  {"metadata blocks unreadable", ClassTransient, notApplied},
	CodeEmptyEvents:         {"empty event list", ClassFinal, rejected},
	CodeZeroEventType:       {"event type 0", ClassFinal, rejected},
	CodeDuplicate:           {"client sequence already stored", ClassDuplicate, rejected},
	CodeVersionConflict:     {"version guard failed", ClassConflict, rejected},
	CodeWriteSerialise:      {"write not serialisable", ClassFinal, rejected},
	CodeWriteNotFound:       {"aggregate missing, creation not allowed", ClassFinal, rejected},
	CodeRecreateNotAllowed:  {"aggregate deleted, recreation not allowed", ClassFinal, rejected},
	CodeWriteReplication:    {"write replication failed", ClassTransient, unknown},
	CodeWriteSync:           {"write disk sync failed", ClassTransient, unknown},
	CodeWriteClientCache:    {"client cache fault", ClassTransient, unknown},
	CodeWriteExistenceCache: {"existence cache fault", ClassTransient, unknown},
	CodeWriteNotLeader:      {"not the leader", ClassRedirect, notApplied},
	CodeWriteBackpressure:   {"replication back-pressure", ClassBusy, notApplied},
	CodeInFlight:            {"duplicate of a write in flight", ClassTransient, notApplied},
	CodeSchemaExists:        {"schema already registered", ClassFinal, rejected},
	CodeSchemaInvalid:       {"schema invalid or too large", ClassFinal, rejected},
	CodeSchemaMismatch:      {"event does not match its schema", ClassFinal, rejected},
	CodeSchemaUncompilable:  {"stored schema does not compile", ClassFinal, rejected},
	CodeSchemaUnsupported:   {"schema type not supported", ClassFinal, rejected},
	CodeSchemaCache:         {"schema cache fault", ClassTransient, unknown},
	CodeSchemaSync:          {"schema disk sync failed", ClassTransient, unknown},
	CodeSchemaNotLeader:     {"not the leader", ClassRedirect, notApplied},
	CodeSchemaReplication:   {"schema replication failed", ClassTransient, unknown},
	CodeSchemaPartial:       {"schema not applied on all shards", ClassTransient, unknown},
	CodeTrimNotFound:        {"aggregate not found", ClassFinal, rejected},
	CodeTrimCache:           {"trim cache fault", ClassTransient, unknown},
	CodeTrimReplication:     {"trim replication failed", ClassTransient, unknown},
	CodeTrimSync:            {"trim disk sync failed", ClassTransient, unknown},
	CodeTrimBeyondEnd:       {"trim beyond the newest version", ClassFinal, rejected},
	CodeTrimNotLeader:       {"not the leader", ClassRedirect, notApplied},
	CodeTrimBackpressure:    {"replication back-pressure", ClassBusy, notApplied},
	CodeDeleteNotFound:      {"aggregate not found", ClassFinal, rejected},
	CodeEmptyDeletes:        {"empty delete list", ClassFinal, rejected},
	CodeDeleteConflict:      {"version guard failed", ClassConflict, rejected},
	CodeDeleteCache:         {"delete cache fault", ClassTransient, unknown},
	CodeDeleteReplication:   {"delete replication failed", ClassTransient, unknown},
	CodeDeleteSync:          {"delete disk sync failed", ClassTransient, unknown},
	CodeDeleteNotLeader:     {"not the leader", ClassRedirect, notApplied},
	CodeDeleteBackpressure:  {"replication back-pressure", ClassBusy, notApplied},
	CodeListOrgs:            {"listing organisations failed", ClassTransient, notApplied},
	CodeListTypes:           {"listing aggregate types failed", ClassTransient, notApplied},
	CodeListAggregates:      {"listing aggregates failed", ClassTransient, notApplied},
	CodeDetailsCache:        {"details cache fault", ClassTransient, notApplied},
	CodeDetailsNotFound:     {"aggregate not found", ClassFinal, rejected},
	CodeDetailsMetadata:     {"details metadata unreadable", ClassTransient, notApplied},
	CodeWatchInvalid:        {"watch request invalid", ClassFinal, rejected},
	CodeWatchLatency:        {"watch latency too high", ClassFinal, rejected},
	CodeWatchIO:             {"watch I/O fault", ClassTransient, notApplied},
	CodeWatchSerialise:      {"watch serialisation fault", ClassTransient, notApplied},
	CodeWatchOther:          {"watch fault", ClassTransient, notApplied},
	CodeWatchSubscribers:    {"too many subscribers on the shard", ClassBusy, notApplied},
	CodeNoRoutingKey:        {"no routing key", ClassFinal, rejected},
	CodeSeveralShards:       {"keys on several shards", ClassFinal, rejected},
	CodeRouting:             {"filters or shard id do not fit the routing", ClassFinal, rejected},
	CodeNonce:               {"nonce outside the window", ClassAuth, rejected},
	CodeSignature:           {"signature invalid", ClassAuth, rejected},
	CodeClientIDMismatch:    {"client id differs from the proven one", ClassAuth, rejected},
	CodeIdentityRequired:    {"identity required", ClassAuth, rejected},
	CodeAPIKeyRequired:      {"API key required", ClassAuth, rejected},
	CodeAPIKeyInvalid:       {"API key invalid", ClassAuth, rejected},
	CodeReadOnlyKey:         {"API key is read-only", ClassAuth, rejected},
	CodeServerBusy:          {"server busy", ClassBusy, notApplied},
}

// Known reports whether the code is one of protocol section 14.3.
func (c Code) Known() bool {
	_, ok := codes[c]
	return ok
}

// Class returns what to do about the code; unknown codes are ClassFinal.
func (c Code) Class() Class { return codes[c].class }

// Ambiguous reports whether a mutation answered with this code may have been
// applied all the same. A code this package does not know is ambiguous:
// nothing tells what it means.
func (c Code) Ambiguous() bool {
	info, ok := codes[c]
	return !ok || info.fate == unknown
}

// SafeToRetry reports whether the request was certainly not applied and the
// same request may succeed later or on another node.
func (c Code) SafeToRetry() bool { return codes[c].fate == notApplied }

// String returns the number and what it means.
func (c Code) String() string {
	if info, ok := codes[c]; ok {
		return fmt.Sprintf("%d %s", uint32(c), info.name)
	}
	return fmt.Sprintf("%d unknown error", uint32(c))
}
