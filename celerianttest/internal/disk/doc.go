// Package disk keeps the data of a node in a folder: an append-only file for each shard,
// and the settings that the data depends on.
package disk
