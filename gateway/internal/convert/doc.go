// Package convert turns the library's values into messages of
// celeriant.gateway.v1 and back. Everything that comes from a peer is checked.
package convert
