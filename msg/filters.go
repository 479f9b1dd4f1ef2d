package msg

// ReadFilters bounds and narrows a read. All bounds are inclusive and all
// filters are combined with AND. Protocol section 6.5.
type ReadFilters struct {
	// From is the lowest version wanted; a node refuses 0 with CodeVersionUnavailable.
	From uint64
	// To is the highest version wanted; beyond the end is no error, 0 lets
	// nothing pass.
	To Opt[uint64]
	// EventTypes keeps events whose major type is listed; nil or empty means
	// all. Nil and empty are different on the wire and alike in effect.
	EventTypes []uint64

	ExcludeClientID Opt[ID]
	IncludeClientID Opt[ID]
	ExcludeUserID   Opt[ID]
	IncludeUserID   Opt[ID]

	MinServerTimestamp Opt[uint64]
	MaxServerTimestamp Opt[uint64]
	MinClientSeq       Opt[uint64]
	MaxClientSeq       Opt[uint64]
	MinEventTimestamp  Opt[uint64]
	MaxEventTimestamp  Opt[uint64]
	MinEventSeq        Opt[uint64]
	MaxEventSeq        Opt[uint64]
}
