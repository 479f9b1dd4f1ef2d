package status

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// The text on a terminal says what the page says, and survives the way through JSON.
func TestTextSaysWhatThePageSays(t *testing.T) {
	page := New(Options{Process: "web-1", Now: func() time.Time { return noon }})
	source := everything()
	source.rest.Rebuilds = []Rebuild{{Name: "orders", State: "building", Done: 10, Remaining: 30, Estimate: 3 * time.Minute}}
	source.rest.Waits = []Wait{{Name: "orders", Waiting: 3, Oldest: ago(2 * time.Second)}}
	source.rest.Streams = []Stream{{Mode: "group", Open: 4, Queued: 2, Stalled: 1}}
	page.Add(source)
	taken := page.Snapshot(t.Context())
	text, err := json.Marshal(taken)
	if err != nil {
		t.Fatal(err)
	}
	var fetched Snapshot
	if err := json.Unmarshal(text, &fetched); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := fetched.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	wants := []string{taken.Sentence, "web-1, ", "version 7", "10.0.0.1:10000  leader  3 connections, 2 idle, 0 waiting",
		"1 here  1 elsewhere  1 unowned  0 stopped", "building  10 of 40  about 3 min 0 s left", "3 waiting  oldest 2.0 s", "4 open  2 queued  1 stalled"}
	for _, c := range taken.Consumers {
		wants = append(wants, sign(c.Level)+" "+c.Name+": "+c.Says)
	}
	for _, want := range wants {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, out.String())
		}
	}
}

// A page may belong to a stranger: nothing in it reaches the terminal as a control sequence.
func TestTextHoldsNoControlSequences(t *testing.T) {
	evil := "\x1b]0;owned\x07\n\u202eabc"
	s := Snapshot{
		At: noon, Process: evil, Sentence: evil,
		Consumers: []Consumer{{Name: evil, Says: evil, Proof: evil, Next: evil, Level: 99, Trend: -7, Retrying: []Retry{{What: evil, Error: evil}}}},
		Nodes:     []Node{{Address: evil, Role: evil, Error: evil}},
		Parked:    []Parked{{Consumer: evil, Key: evil, Error: evil, Request: evil}},
		Rebuilds:  []Rebuild{{Name: evil, State: evil}}, Waits: []Wait{{Name: evil}}, Streams: []Stream{{Mode: evil}},
		Partitions: []Partitions{{Consumer: evil}},
	}
	var out bytes.Buffer
	if err := s.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\x07\u202e\r") {
		t.Errorf("%q", out.String())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no reader") }

func TestTextTellsThatNobodyReads(t *testing.T) {
	s := Snapshot{Parked: make([]Parked, 1000)}
	if err := s.WriteText(broken{}); err == nil {
		t.Error("no error")
	}
}

func TestLevelOfALaterReleaseAsksForAttention(t *testing.T) {
	var l Level
	if err := json.Unmarshal([]byte(`"doomed"`), &l); err != nil || l != Attention {
		t.Errorf("%v, %v", l, err)
	}
}
