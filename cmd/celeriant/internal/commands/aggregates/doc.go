// Package aggregates holds the commands that read, write, follow and change aggregates.
package aggregates
