// Package storefaults has the tests that checkpoint stores share beside their
// conformance: servers that crash while a store saves, replicas that are promoted
// without the last writes, links that are slow, and processes of a group that die.
package storefaults
