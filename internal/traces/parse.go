package traces

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
)

type headLine struct {
	Scenario string   `json:"scenario"`
	What     string   `json:"what"`
	Protocol int      `json:"protocol"`
	Server   []string `json:"server"`
	Source   string   `json:"source"`
}

type stepLine struct {
	AtMS       int             `json:"at_ms"`
	Do         string          `json:"do"`
	Conn       int             `json:"conn"`
	Node       string          `json:"node"`
	Hex        string          `json:"hex"`
	Type       string          `json:"type"`
	Body       json.RawMessage `json:"body"`
	Compressed bool            `json:"compressed"`
	Dictionary string          `json:"dictionary"`
	OK         bool            `json:"ok"`
	WaitedMS   int             `json:"waited_ms"`
	Partial    int             `json:"partial"`
	Note       string          `json:"note"`
}

// Parse reads a recording: a JSON object per line, the first describing the
// scenario, each other one a step. Keys it does not know are refused.
func Parse(name string, text []byte) (Recording, error) {
	rec := Recording{Name: name}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if number == 1 {
			var head headLine
			if err := strict(line, &head); err != nil {
				return Recording{}, fmt.Errorf("line 1: %w", err)
			}
			rec.Scenario, rec.What, rec.Protocol = head.Scenario, head.What, head.Protocol
			rec.Server, rec.Source = head.Server, head.Source
			continue
		}
		step, err := parseStep(line)
		if err != nil {
			return Recording{}, fmt.Errorf("line %d: %w", number, err)
		}
		step.Line = number
		rec.Steps = append(rec.Steps, step)
	}
	if rec.Scenario == "" || (rec.Protocol != 2 && rec.Protocol != 3) {
		return Recording{}, fmt.Errorf("line 1: want a scenario in protocol 2 or 3, have %q in %d", rec.Scenario, rec.Protocol)
	}
	return rec, nil
}

func parseStep(line []byte) (Step, error) {
	var raw stepLine
	if err := strict(line, &raw); err != nil {
		return Step{}, err
	}
	step := Step{
		AtMS: raw.AtMS, Do: raw.Do, Conn: raw.Conn, Node: raw.Node, Type: raw.Type,
		Compressed: raw.Compressed, Dictionary: raw.Dictionary, OK: raw.OK,
		WaitedMS: raw.WaitedMS, Partial: raw.Partial, Note: raw.Note,
	}
	if step.Do == "" && step.Note != "" {
		step.Do = DoNote
	}
	switch step.Do {
	case DoOpen, DoSend, DoRecv, DoSilence, DoEOF, DoClose, DoRestart, DoNote:
	default:
		return Step{}, fmt.Errorf("unknown step %q", step.Do)
	}
	if raw.Hex != "" {
		decoded, err := hex.DecodeString(raw.Hex)
		if err != nil {
			return Step{}, fmt.Errorf("hex: %w", err)
		}
		step.Hex = decoded
	}
	if raw.Body != nil {
		body, err := parseBody(raw.Body)
		if err != nil {
			return Step{}, fmt.Errorf("body: %w", err)
		}
		step.Body = body
	}
	return step, nil
}

func strict(line []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func parseBody(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // timestamps and sequences use all 64 bits
	var raw any
	if err := d.Decode(&raw); err != nil {
		return nil, err
	}
	return convert(raw)
}

func convert(raw any) (any, error) {
	switch v := raw.(type) {
	case nil, bool, string:
		return v, nil
	case json.Number:
		return strconv.ParseUint(v.String(), 10, 64)
	case []any:
		return convertList(v)
	case map[string]any:
		return convertObject(v)
	}
	return nil, fmt.Errorf("unexpected %T", raw)
}

func convertList(raw []any) ([]any, error) {
	list := make([]any, len(raw))
	for i, item := range raw {
		var err error
		if list[i], err = convert(item); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// convertObject reads {"bin": hex} and {"map": [[key, value], ...]}.
func convertObject(raw map[string]any) (any, error) {
	if text, ok := raw["bin"].(string); ok && len(raw) == 1 {
		return hex.DecodeString(text)
	}
	entries, ok := raw["map"].([]any)
	if !ok || len(raw) != 1 {
		return nil, fmt.Errorf("an object is neither bin nor map: %v", raw)
	}
	m := make(Map, 0, len(entries))
	for _, e := range entries {
		pair, err := convert(e)
		if err != nil {
			return nil, err
		}
		kv, ok := pair.([]any)
		if !ok || len(kv) != 2 {
			return nil, fmt.Errorf("a map entry is not a pair: %v", e)
		}
		m = append(m, Entry{kv[0], kv[1]})
	}
	return m, nil
}
