package msg

// TypeItem is one entry of a list of aggregate types.
type TypeItem struct {
	Org  ID
	Type ID
}

// AggregateItem is one entry of a list of aggregates: a summary of what one
// page knows of one aggregate. Zero in a minimum, maximum or timestamp means
// "not available". Protocol sections 6.6 and 13.
type AggregateItem struct {
	// Deleted tells that the newest record seen is a delete; all counters are
	// then 0.
	Deleted bool
	Key     Key
	// BatchCount counts the batches on this page only.
	BatchCount         uint64
	MinEventTimestamp  uint64
	MaxEventTimestamp  uint64
	MinVersion         uint64
	MaxVersion         uint64
	MinEventSeq        uint64
	MaxEventSeq        uint64
	MinServerTimestamp uint64
	MaxServerTimestamp uint64
	CompressedSize     uint64
	UncompressedSize   uint64
}
