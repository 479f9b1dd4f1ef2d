package traces_test

import (
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/internal/traces"
)

func TestEveryRecordingLoads(t *testing.T) {
	all := traces.All()
	if len(all) != 59 {
		t.Errorf("%d recordings, want 59", len(all))
	}
	frames, cut := 0, 0
	for _, rec := range all {
		if want := rec.Scenario + map[int]string{2: ".v2", 3: ".v3"}[rec.Protocol]; rec.Name != want {
			t.Errorf("%s says it is %s", rec.Name, want)
		}
		if rec.What == "" || len(rec.Server) == 0 || len(rec.Steps) == 0 {
			t.Errorf("%s lacks what, server or steps", rec.Name)
		}
		for _, s := range rec.Steps {
			switch {
			case s.Do == traces.DoRecv && s.Hex == nil:
				cut++
				if s.Dictionary == "" {
					t.Errorf("%s:%d: no bytes and no remark about a cut dictionary", rec.Name, s.Line)
				}
			case s.Do == traces.DoRecv:
				frames++
			}
		}
	}
	if frames != 1418 || cut != 12 {
		t.Errorf("%d frames received and %d cut, want 1418 and 12", frames, cut)
	}
}

func TestFindNamesScenarioAndVersion(t *testing.T) {
	rec, ok := traces.Find("trim", 2)
	if !ok || rec.Name != "trim.v2" {
		t.Errorf("Find(trim, 2) = %q, %v", rec.Name, ok)
	}
	if _, ok := traces.Find("pair-roles", 2); ok {
		t.Error("found a recording of a pair in version 2; they exist in version 3 only")
	}
}

const head = `{"scenario":"s","what":"w","protocol":3,"server":["--x"],"source":"here"}` + "\n"

func TestBodyShapes(t *testing.T) {
	line := `{"at_ms":1,"do":"send","conn":1,"hex":"00ff","type":"Write","body":[null,true,18446744073709551615,"t",{"bin":"0a"},{"map":[[1,[2]]]}]}`
	rec, err := traces.Parse("s.v3", []byte(head+line))
	if err != nil {
		t.Fatal(err)
	}
	body := rec.Steps[0].Body.([]any)
	if body[0] != nil || body[1] != true || body[2] != uint64(1<<64-1) || body[3] != "t" || string(body[4].([]byte)) != "\n" {
		t.Errorf("body %v", body)
	}
	m := body[5].(traces.Map)
	if len(m) != 1 || m[0].Key != uint64(1) || m[0].Value.([]any)[0] != uint64(2) {
		t.Errorf("map %v", m)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no scenario":    {`{"protocol":3}`, "scenario"},
		"a protocol":     {`{"scenario":"s","protocol":4}`, "protocol"},
		"an unknown key": {head + `{"at_ms":1,"do":"open","colour":1}`, "colour"},
		"a step":         {head + `{"at_ms":1,"do":"dance"}`, "dance"},
		"odd hex":        {head + `{"at_ms":1,"do":"send","hex":"0"}`, "hex"},
		"a fraction":     {head + `{"at_ms":1,"do":"send","body":[1.5]}`, "body"},
		"an object":      {head + `{"at_ms":1,"do":"send","body":{"x":1}}`, "neither bin nor map"},
		"a lone key":     {head + `{"at_ms":1,"do":"send","body":{"map":[[1]]}}`, "not a pair"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := traces.Parse("x", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one about %q", err, c.want)
			}
		})
	}
}
