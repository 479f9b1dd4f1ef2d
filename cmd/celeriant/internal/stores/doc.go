// Package stores opens the places where commands keep positions.
package stores
