// Package measure holds the commands that measure nodes.
package measure
