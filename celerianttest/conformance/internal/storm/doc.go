// Package storm lets random writes, trims, deletes and recreations meet consumers that
// crash and resume, over connections and nodes that fail, and records it.
package storm
