package engine

// Reason is why a shard is listed.
type Reason uint8

// The reasons.
const (
	// Started: the shard is watched for the first time.
	Started Reason = iota
	// Reconnected: a watch was lost, and with it what the node told meanwhile.
	Reconnected
	// Moved: a watch was replaced by one at another node, or of another scope.
	Moved
	// Gained: partitions were gained.
	Gained
	// Overflowed: notifications were dropped for want of room.
	Overflowed
	// Due: the interval of anti-entropy is over.
	Due
)

// String returns a reason as one word.
func (r Reason) String() string {
	return [...]string{"started", "reconnected", "moved", "gained", "overflowed", "due"}[min(r, Due)]
}
