package projectiontest_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/celeriant/celeriant-go/celerianttest/projectiontest"
	"github.com/celeriant/celeriant-go/checkpoint"
)

func TestCheckRebuild(t *testing.T) {
	for name, c := range map[string]struct {
		old, fresh *sums
		shared     bool // both write to the tables of one
		says       string
	}{
		"sound":              {&sums{adds: true}, &sums{adds: true}, false, ""},
		"skips replays":      {&sums{}, &sums{skips: true}, false, "the new version shows"},
		"cannot go back":     {&sums{skips: true}, &sums{}, false, "the old version, rolled back to, shows"},
		"writes to the old":  {&sums{adds: true}, &sums{adds: true}, true, "the new version shows"},
		"fails":              {&sums{}, &sums{fails: true}, false, "cannot do that"},
		"has no store alike": {&sums{}, nil, false, "must have one store"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				open := func() (old, fresh projectiontest.Instance, err error) {
					store := checkpoint.NewMemory()
					first := c.old.empty()
					old = first.instance(store)
					switch {
					case c.fresh == nil:
						fresh = first.instance(checkpoint.NewMemory())
					case c.shared:
						fresh = first.instance(store)
					default:
						fresh = c.fresh.empty().instance(store)
					}
					return old, fresh, nil
				}
				v := &verdict{TB: t}
				projectiontest.CheckRebuild(v, open, event, projectiontest.Options{Histories: 12})
				if (v.failed == "") != (c.says == "") || !strings.Contains(v.failed, c.says) {
					t.Fatalf("it says %q", v.failed)
				}
				t.Log(v.failed)
			})
		})
	}
}
