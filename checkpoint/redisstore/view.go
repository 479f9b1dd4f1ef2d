package redisstore

import (
	"context"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// view is what a change is decided on: the texts that are stored, and what they say.
type view struct {
	ownText string
	own     own
	cursors []string
	records []string // of the mutation's changes, then of its owners' partitions
	limited int64
}

// see reads what a mutation touches; the fields are those of its entries.
func (s *Store) see(ctx context.Context, name string, m *checkpoint.Mutation, fields []string) (view, error) {
	args := make([]any, 0, len(fields)+len(m.Records)+len(m.Owners)+4)
	args = append(args, len(fields))
	for _, f := range fields {
		args = append(args, f)
	}
	args = append(args, len(m.Records)+len(m.Owners))
	for i := range m.Records {
		args = append(args, m.Records[i].Key)
	}
	for _, o := range m.Owners {
		args = append(args, checkpoint.PartitionKey(o.Partition))
	}
	low, high := "", ""
	if m.Limit != nil {
		low, high = bounds(m.Limit.Prefix)
	}
	reply, err := look.Run(ctx, s.client, s.keysOf(name, "")[:keyOp], append(args, low, high)...).Slice()
	if err != nil {
		return view{}, err
	}
	var v view
	ok := len(reply) == 4
	if ok {
		v.ownText, ok = reply[0].(string)
		v.cursors, v.records = texts(reply[1]), texts(reply[2])
		v.limited, _ = reply[3].(int64)
	}
	if !ok || len(v.cursors) != len(fields) || len(v.records) != len(m.Records)+len(m.Owners) {
		return view{}, fmt.Errorf("the server answered a script with %d values that it was not asked for", len(reply))
	}
	v.own, err = decodeOwn(s.tag(name)+"own", v.ownText)
	return v, err
}

func texts(reply any) []string {
	list, _ := reply.([]any)
	found := make([]string, len(list))
	for i := range list {
		found[i], _ = list[i].(string)
	}
	return found
}

// stored is the view as the rules want it.
func (v *view) stored(where string, m *checkpoint.Mutation) (checkpoint.Stored, error) {
	st := checkpoint.Stored{
		Ownership:  v.own.Ownership,
		Partitions: make([][]byte, len(m.Owners)),
		Cursors:    make([]checkpoint.Cursor, len(m.Entries)),
		Records:    make([][]byte, len(m.Records)),
		Limited:    int(v.limited),
	}
	for i := range m.Entries {
		var err error
		if st.Cursors[i], err = decodeCursor(where, v.cursors[i]); err != nil {
			return checkpoint.Stored{}, err
		}
	}
	for i := range m.Records {
		st.Records[i] = value(v.records[i])
	}
	for i, o := range m.Owners {
		if o.Leased {
			st.Partitions[i] = value(v.records[len(m.Records)+i])
		}
	}
	return st, nil
}

func value(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

// compared is the mutation as arguments of the script: everything it was decided on,
// with what is stored next where that differs.
func (v *view) compared(m *checkpoint.Mutation, fields []string, out *checkpoint.Outcome) []any {
	next := make(map[msg.Key]string, len(out.Moved))
	for i := range out.Moved {
		next[out.Moved[i].Key] = encodeCursor(out.Moved[i].Cursor)
	}
	args := make([]any, 0, 3*(len(fields)+len(m.Records)+len(m.Owners))+2)
	args = append(args, len(fields))
	for i, f := range fields {
		args = append(args, f, v.cursors[i], next[m.Entries[i].Key])
	}
	leased := 0
	for _, o := range m.Owners {
		if o.Leased {
			leased++
		}
	}
	args = append(args, len(m.Records)+leased)
	// A record that stays is compared, and written as it is.
	changed := make(map[string]*checkpoint.RecordChange, len(out.Records))
	for i := range out.Records {
		changed[out.Records[i].Key] = &out.Records[i]
	}
	for i := range m.Records {
		key := m.Records[i].Key
		text := v.records[i]
		if c := changed[key]; c != nil {
			text = string(c.Value)
		}
		args = append(args, key, v.records[i], text)
	}
	for i, o := range m.Owners {
		key := checkpoint.PartitionKey(o.Partition)
		// A mutation that writes the record compares it above.
		if o.Leased {
			text := v.records[len(m.Records)+i]
			if c := changed[key]; c != nil {
				text = string(c.Value)
			}
			args = append(args, key, v.records[len(m.Records)+i], text)
		}
	}
	return args
}
