// Package cli is what the commands have in common that have no node to talk to: flags, exit
// statuses, input by lines, and output of which is known what was written.
package cli
