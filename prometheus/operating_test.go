package prometheus_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/otel"
	"github.com/celeriant/celeriant-go/prometheus"
)

var update = flag.Bool("update", false, "write the table of metrics in docs/operating.md anew")

const (
	manual = "../docs/operating.md"
	head   = "| OpenTelemetry | Prometheus | attributes | the question it answers |\n|---|---|---|---|\n"
)

// The manual lists each instrument as it is, in both spellings, and each alert; it leads
// from each alert to the next step.
func TestOperatingManualIsComplete(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), head)
	_, after, ended := strings.Cut(rest, "\n## ")
	if !found || !ended {
		t.Fatalf("%s has no table of metrics", manual)
	}
	var rows strings.Builder
	for _, i := range otel.Instruments {
		attributes := "–"
		if len(i.Attributes) > 0 {
			attributes = "`" + strings.Join(i.Attributes, "`, `") + "`"
		}
		fmt.Fprintf(&rows, "| `%s` | `%s` | %s | %s |\n", i.Name, prometheus.Name(i), attributes, i.Answers)
	}
	want := before + head + rows.String() + "\n## " + after
	if *update {
		if err := os.WriteFile(manual, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Errorf("%s does not list the instruments as they are: cd prometheus && go test -run Operating -update", manual)
	}
	alerts, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`Celeriant[A-Z]\w+`)
	inRules := make(map[string]bool)
	for _, match := range regexp.MustCompile(`(?m)- alert: (\w+)`).FindAllStringSubmatch(string(alerts), -1) {
		inRules[match[1]] = true
		if !strings.Contains(want, "\n| "+match[1]+" | ") {
			t.Errorf("%s has no row for the alert %s", manual, match[1])
		}
	}
	for _, name := range named.FindAllString(want, -1) {
		if !inRules[name] {
			t.Errorf("%s names the alert %s, which is no rule", manual, name)
		}
	}
}
