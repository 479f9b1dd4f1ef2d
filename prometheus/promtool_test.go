//go:build promtool

package prometheus_test

import (
	"os/exec"
	"testing"
)

// TestAlertsFireAndClear has Prometheus' own tool check the rules, and run their tests.
func TestAlertsFireAndClear(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		if out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
