package conformance_test

import (
	"fmt"
	"strings"

	"github.com/celeriant/celeriant-go/celerianttest/conformance"
)

// A storm that broke a guarantee leaves its record. Here a writer made three
// batches, and a consumer was given the first and the last.
func ExampleRecheck() {
	record := `
{"what":"write","key":"k","tag":"one","hash":1,"version":1}
{"what":"write","key":"k","tag":"two","hash":2,"version":2}
{"what":"write","key":"k","tag":"three","hash":3,"version":3}
{"what":"open","run":1}
{"what":"change","run":1,"key":"k","kind":"batch","tag":"one","hash":1,"version":1}
{"what":"change","run":1,"key":"k","kind":"batch","tag":"three","hash":3,"version":3}
`
	violations, err := conformance.Recheck(strings.NewReader(record))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range violations {
		fmt.Println(v)
	}
	// Output:
	// G2, line 6: two (version 2) is missing before three (version 3)
}
