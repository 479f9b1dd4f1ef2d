// Package node is how the commands reach nodes: addresses, credentials, scopes, and what they
// report of a subscription.
package node
