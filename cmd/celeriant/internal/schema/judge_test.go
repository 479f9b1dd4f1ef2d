package schema_test

import (
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
)

func accepts(t *testing.T, c celerianttest.SchemaCompiler, texts map[string]string) {
	t.Helper()
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			if v, err := c.Compile(text); err != nil || v == nil {
				t.Errorf("schema %s: %v", text, err)
			}
		})
	}
}

type refused struct{ text, want string }

func refuses(t *testing.T, c celerianttest.SchemaCompiler, cases map[string]refused) {
	t.Helper()
	for name, r := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := c.Compile(r.text)
			if err == nil || !strings.Contains(err.Error(), r.want) {
				t.Errorf("schema %s: error %v, want one with %q", r.text, err, r.want)
			}
		})
	}
}

// verdict is what a schema must say about a value: nothing, or an error that
// contains want.
type verdict struct{ schema, value, want string }

func judges(t *testing.T, c celerianttest.SchemaCompiler, verdicts []verdict) {
	t.Helper()
	for _, w := range verdicts {
		v, err := c.Compile(w.schema)
		if err != nil {
			t.Errorf("schema %s: %v", w.schema, err)
			continue
		}
		err = v.Validate([]byte(w.value))
		switch {
		case w.want == "" && err != nil:
			t.Errorf("schema %s refuses %.60q: %v", w.schema, w.value, err)
		case w.want != "" && (err == nil || !strings.Contains(err.Error(), w.want)):
			t.Errorf("schema %s, value %.60q: error %v, want one with %q", w.schema, w.value, err, w.want)
		case err != nil && (strings.Contains(err.Error(), "\n") || len(err.Error()) > 600):
			t.Errorf("schema %s, value %.60q: the error does not fit a line: %q", w.schema, w.value, err)
		}
	}
}

func neverPanics(c celerianttest.SchemaCompiler, text string, value []byte) {
	v, err := c.Compile(text)
	if err != nil {
		_ = err.Error()
		return
	}
	if err := v.Validate(value); err != nil {
		_ = err.Error()
	}
}
