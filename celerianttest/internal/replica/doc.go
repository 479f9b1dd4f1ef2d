// Package replica is a node's copy of one shard: it groups changes into commits, stores
// them, hands them to a follower and tells the subscribers.
package replica
