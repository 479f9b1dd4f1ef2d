// Package route says which shard a request belongs to.
package route
