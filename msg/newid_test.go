package msg_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

// Golden, as every implementation of RFC 9562 computes them.
func TestIDFromName(t *testing.T) {
	dns := msg.MustParseID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	url := msg.MustParseID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
	for _, c := range []struct {
		namespace msg.ID
		text      string
		want      string
	}{
		{dns, "www.example.com", "2ed6657d-e927-568b-95e1-2665a8aea6a2"},
		{msg.ID{}, "", "e129f27c-5103-5c5c-844b-cdf0a15e160d"},
		{url, "Bestellung/äöü 漢", "59aac662-8f95-5bfa-bb81-e3e5e0e45253"},
	} {
		if got := msg.IDFromName(c.namespace, c.text).String(); got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
}
