package gateway_test

import (
	"os"
	"strings"
	"testing"
)

// Users of the library's main module have neither gRPC nor Protocol Buffers in their
// module graph: go.sum has a line for each module of it.
func TestTheMainModuleHasNoGRPC(t *testing.T) {
	for _, file := range []string{"../go.mod", "../go.sum"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "google.golang.org/grpc") || strings.Contains(line, "google.golang.org/protobuf") {
				t.Errorf("%s has %s", file, line)
			}
		}
	}
}
