package msg

// Operation is what a watch notification reports. Protocol section 6.8.
type Operation uint8

// The operations. OpRead and OpDetails are defined but never emitted.
const (
	OpDelete    Operation = 0
	OpWrite     Operation = 1
	OpRead      Operation = 2
	OpTrimStart Operation = 3
	OpDetails   Operation = 4
	OpCreate    Operation = 5
)

// String returns the operation's name in lower case.
func (o Operation) String() string {
	switch o {
	case OpDelete:
		return "delete"
	case OpWrite:
		return "write"
	case OpRead:
		return "read"
	case OpTrimStart:
		return "trim"
	case OpDetails:
		return "details"
	case OpCreate:
		return "create"
	}
	return "unknown"
}

// Notification says that an aggregate changed; it carries no events. A
// Notification is a hint: coalescing merges versions across lives and loses the
// order of operations. Protocol sections 6.7 and 12.3.
type Notification struct {
	Key       Key
	Operation Operation
	// From and To are the inclusive range of versions, set for OpWrite.
	From, To Opt[uint64]
	// KeepFrom is the new trim floor, set for OpTrimStart.
	KeepFrom Opt[uint64]
}
