package pool

import "fmt"

// Leadership is what a node says about whether it leads its cluster.
type Leadership uint8

const (
	// LeadershipUnknown: the credentials hide who leads, or the node gave no
	// answer. It is neither a yes nor a no.
	LeadershipUnknown Leadership = iota
	// Leading: the node leads, or stands alone.
	Leading
	// Following: the node does not lead.
	Following
)

// String returns "unknown", "leading" or "following".
func (l Leadership) String() string {
	switch l {
	case LeadershipUnknown:
		return "unknown"
	case Leading:
		return "leading"
	case Following:
		return "following"
	}
	return fmt.Sprintf("leadership %d", uint8(l))
}
