// Package refusal makes the errors that a node answers a request with.
package refusal
