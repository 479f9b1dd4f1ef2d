package prometheus_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/celeriant/celeriant-go/otel"
	"github.com/celeriant/celeriant-go/prometheus"
	"github.com/celeriant/celeriant-go/stream"
)

// names returns the name of every series that the table of instruments makes.
func names() map[string]bool {
	all := make(map[string]bool)
	for _, i := range otel.Instruments {
		name := prometheus.Name(i)
		all[name] = true
		if i.Kind == otel.Histogram {
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				all[name+suffix] = true
			}
		}
	}
	return all
}

var metricName = regexp.MustCompile(`\b(celeriant|db_client|messaging|rpc)_[a-z_]+\b`)

// labels are words of an expression that look like metrics and are attributes.
var labels = regexp.MustCompile(`^(messaging_consumer_group_name|celeriant_(what|phase|state|verdict|kind|mode|outcome|reason)|rpc_method|rpc_response_status_code|db_operation_name|db_client_connection_state)$`)

func checkNames(t *testing.T, where, expression string, all map[string]bool) {
	t.Helper()
	found := false
	for _, name := range metricName.FindAllString(expression, -1) {
		if labels.MatchString(name) {
			continue
		}
		found = true
		if !all[name] {
			t.Errorf("%s uses %s, which no instrument makes", where, name)
		}
	}
	if !found {
		t.Errorf("%s uses no metric: %s", where, expression)
	}
}

func TestDashboardAndAlertsUseInstruments(t *testing.T) {
	all := names()
	text, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	if len(dashboard.Panels) == 0 {
		t.Fatal("the dashboard has no panels")
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			checkNames(t, "panel "+p.Title, target.Expr, all)
		}
	}
	alerts, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`(?m)^\s+expr: (.*)$`).FindAllStringSubmatch(string(alerts), -1) {
		checkNames(t, "an alert", match[1], all)
	}
}

func TestScrapeIsParsedAndHoldsWhatWasObserved(t *testing.T) {
	metrics, err := prometheus.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer metrics.Close(t.Context())
	telemetry := metrics.Telemetry
	unwatch := telemetry.Watch("orders", func() stream.Stats {
		return stream.Stats{
			State: stream.State{Phase: stream.Live}, Unhandled: 7, OldestPending: time.Now().Add(-time.Minute),
			Retrying: []stream.Retrying{{What: "handler", Since: time.Now().Add(-time.Hour)}},
		}
	})
	defer unwatch()
	hooks := telemetry.Stream("orders")
	hooks.Commit(stream.CommitDone{Entries: 3, Duration: time.Millisecond})
	hooks.Void(stream.Change{Kind: stream.Reset})
	hooks.Reconnect(stream.WatchLost{})

	answer := httptest.NewRecorder()
	metrics.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	all := names()
	for name := range families {
		if !all[name] {
			t.Errorf("the scrape holds %s, which is not in the table of instruments", name)
		}
	}
	for name, want := range map[string]float64{
		"celeriant_subscription_unhandled":        7,
		"celeriant_subscription_voids_total":      1,
		"celeriant_subscription_reconnects_total": 1,
	} {
		f := families[name]
		if f == nil {
			t.Errorf("the scrape lacks %s", name)
			continue
		}
		m := f.GetMetric()[0]
		got := m.GetGauge().GetValue() + m.GetCounter().GetValue()
		if got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if pending := families["celeriant_subscription_oldest_pending_seconds"]; pending == nil || pending.GetMetric()[0].GetGauge().GetValue() < 59 {
		t.Errorf("oldest pending is %v, want about a minute", pending)
	}
	if f := families["celeriant_commit_duration_seconds"]; f == nil || f.GetMetric()[0].GetHistogram().GetSampleCount() != 1 {
		t.Errorf("one commit makes %v", f)
	}
}

func TestNamesFollowTheUsualRules(t *testing.T) {
	for _, i := range otel.Instruments {
		name := prometheus.Name(i)
		base := strings.ReplaceAll(i.Name, ".", "_")
		if !strings.HasPrefix(name, base) {
			t.Errorf("%s became %s", i.Name, name)
		}
		if i.Kind == otel.Counter && !strings.HasSuffix(name, "_total") {
			t.Errorf("the counter %s became %s", i.Name, name)
		}
		if i.Unit == "s" && !strings.HasSuffix(name, "_seconds") {
			t.Errorf("%s, in seconds, became %s", i.Name, name)
		}
	}
}
