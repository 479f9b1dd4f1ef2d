package conformance

import (
	"fmt"
	"io"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/judge"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/record"
)

// Violation is a guarantee that a record shows broken.
type Violation struct {
	// Guarantee is "G1" to "G15", or "server" where the server itself went
	// against the protocol.
	Guarantee string
	// Line is the line of the record, from 1, that shows it.
	Line int
	What string
}

// String names all three.
func (v Violation) String() string {
	return fmt.Sprintf("%s, line %d: %s", v.Guarantee, v.Line, v.What)
}

// Recheck judges a record again, for instance one that a failed run has left.
func Recheck(rec io.Reader) ([]Violation, error) {
	lines, err := record.Parse(rec)
	if err != nil {
		return nil, err
	}
	var all []Violation
	for _, f := range judge.Lines(lines) {
		all = append(all, Violation(f))
	}
	return all, nil
}
