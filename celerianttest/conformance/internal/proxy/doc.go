// Package proxy stands between clients and nodes, and cuts, stalls or black-holes their
// connections, at frames and inside of them.
package proxy
