package engine

// Leadership is what a node says about whether it leads.
type Leadership uint8

const (
	// LeadershipUnknown: it does not tell; neither a yes nor a no.
	LeadershipUnknown Leadership = iota
	// Leading: it leads, or stands alone.
	Leading
	// Following: it does not lead.
	Following
)
