// Package local holds the commands that need no server: a node to develop against, and key pairs.
package local
