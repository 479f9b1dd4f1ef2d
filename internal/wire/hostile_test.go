package wire_test

import (
	"encoding/binary"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// allocated returns how many bytes run allocates.
func allocated(run func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// mostFor bounds what decoding a body of n bytes may allocate: the densest
// record, an id of one byte, becomes 16, and the arena of events may be twice
// as large as needed.
func mostFor(n int) uint64 { return 32*uint64(n) + 64<<10 }

// TestEveryCut decodes each prefix of each body: it must be refused, or be
// accepted where padding or the ignoring of trailing bytes allows, and never
// panic.
func TestEveryCut(t *testing.T) {
	for name, m := range everyMessage() {
		for _, v := range []wire.Version{wire.V2, wire.V3} {
			body := encodeFrame(t, v, m)[wire.HeaderSize:]
			padded := v == wire.V2 && isRequest(m)
			for n := range body {
				_, err := decodeAs(v, typeOf(m), body[:n:n])
				var refused *wire.DecodeError
				if !errors.As(err, &refused) && (err != nil || !padded) {
					t.Errorf("%s, version %d, %d of %d bytes: error %v", name, v, n, len(body), err)
				} else if refused != nil && (refused.Offset < 0 || refused.Offset > 1007) && len(body) < 1007 {
					t.Errorf("%s, version %d, %d of %d bytes: offset %d", name, v, n, len(body), refused.Offset)
				}
			}
		}
	}
}

// TestCountsAreNotBelieved overwrites each place of each body with counts that
// claim more than there can be. Each outcome must be cheap.
func TestCountsAreNotBelieved(t *testing.T) {
	claims := [][]byte{
		binary.LittleEndian.AppendUint64(nil, 1<<63),
		binary.LittleEndian.AppendUint64(nil, 1<<40),
		binary.LittleEndian.AppendUint64(nil, 1<<20),
		{0xdd, 0xff, 0xff, 0xff, 0xff}, {0xdd, 0, 0x10, 0, 0}, {0xdc, 0xff, 0xff},
		{0xdf, 0xff, 0xff, 0xff, 0xff}, {0xde, 0xff, 0xff},
		{0xc6, 0xff, 0xff, 0xff, 0xff}, {0xdb, 0xff, 0xff, 0xff, 0xff},
	}
	for name, m := range everyMessage() {
		for _, v := range []wire.Version{wire.V2, wire.V3} {
			body := encodeFrame(t, v, m)[wire.HeaderSize:]
			cost := allocated(func() {
				for at := range body {
					for _, claim := range claims {
						lying := append(body[:at:at], claim...)
						_, _ = decodeAs(v, typeOf(m), lying)
						if at+len(claim) < len(body) {
							_, _ = decodeAs(v, typeOf(m), append(lying, body[at+len(claim):]...))
						}
					}
				}
			})
			runs := uint64(2 * len(claims) * len(body))
			if most := runs * mostFor(len(body)); cost > most {
				t.Errorf("%s, version %d: %d bytes allocated in %d decodes, want at most %d", name, v, cost, runs, most)
			}
		}
	}
}

// TestTheDensestListsAreBounded fills a body with the smallest elements a list
// can have.
func TestTheDensestListsAreBounded(t *testing.T) {
	const n = 1 << 17
	many := func(head string, element []byte, tail string) []byte {
		body := binary.BigEndian.AppendUint32(append(unhex(t, head), 0xdd), n)
		for range n {
			body = append(body, element...)
		}
		return append(body, unhex(t, tail)...)
	}
	smallest := []byte{0x98, 0, 0, 0xc0, 0, 0, 0, 0xa0, 0xc0}
	for name, c := range map[string]struct {
		as   any
		body []byte
	}{
		"ids":     {msg.TypeListOrgsResponse, many("93c0", []byte{0x91, 0}, "c0")},
		"types":   {msg.TypeListTypesResponse, many("93c0", []byte{0x92, 0, 0}, "c0")},
		"batches": {msg.TypeReadResponse, many("93c0", []byte{0x95, 0, 0, 0xc0, 0, 0x90}, "c0")},
		"events":  {msg.TypeReadResponse, many("93c0 91 95 00 00 c0 00", smallest, "c0")},
		"many events, then few": {msg.TypeReadResponse, append(
			many("93c0 92 95 00 00 c0 00", smallest, ""), append(unhex(t, "95 00 00 c0 00 91"), append(smallest, 0xc0)...)...)},
		"batches of one event": {msg.TypeReadResponse,
			many("93c0", append([]byte{0x95, 0, 0, 0xc0, 0, 0x91}, smallest...), "c0")},
	} {
		cost := allocated(func() {
			if _, err := decodeAs(wire.V3, c.as, c.body); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		if cost > mostFor(len(c.body)) {
			t.Errorf("%s: %d bytes allocated for a body of %d", name, cost, len(c.body))
		}
	}
}

// TestDecodedRecordsAreBounded: a valid body of many small records is refused when
// decoded it would take more than 32 MiB and four times its own length, before the
// memory is set aside, and in a page that was used before as in a fresh one.
func TestDecodedRecordsAreBounded(t *testing.T) {
	many := func(head string, n int, element []byte, tail string) []byte {
		body := binary.BigEndian.AppendUint32(append(unhex(t, head), 0xdd), uint32(n))
		for range n {
			body = append(body, element...)
		}
		return append(body, unhex(t, tail)...)
	}
	smallest := []byte{0x98, 0, 0, 0xc0, 0, 0, 0, 0xa0, 0xc0}
	ample := append([]byte{0x98, 0, 0, 0xc0, 0, 0, 0, 0xc4, 90}, append(make([]byte, 90), 0xc0)...)
	single := append([]byte{0x95, 0, 0, 0xc0, 0, 0x91}, smallest...)
	const most = 32 << 20
	event := int(reflect.TypeFor[msg.Event]().Size())
	for name, c := range map[string]struct {
		as      any
		body    []byte
		refused bool
	}{
		"events":                 {msg.TypeReadResponse, many("93c0 91 95 00 00 c0 00", most/event+1, smallest, "c0"), true},
		"events just fit":        {msg.TypeReadResponse, many("93c0 91 95 00 00 c0 00", most/event-1, smallest, "c0"), false},
		"events of 100 bytes":    {msg.TypeReadResponse, many("93c0 91 95 00 00 c0 00", most/event*2, ample, "c0"), false},
		"batches of one event":   {msg.TypeReadResponse, many("93c0", most/100, single, "c0"), true},
		"organisations":          {msg.TypeListOrgsResponse, many("93c0", most/16+1, []byte{0x91, 0}, "c0"), true},
		"a write of small ones":  {msg.TypeWriteRequest, many("94c0 00 c0 81 93 000000 94", most/event+1, smallest, "c3 c0 c2"), true},
		"a write that just fits": {msg.TypeWriteRequest, many("94c0 00 c0 81 93 000000 94", most/event-2, smallest, "c3 c0 c2"), false},
	} {
		var err error
		cost := allocated(func() { _, err = decodeAs(wire.V3, c.as, c.body) })
		var refused *wire.DecodeError
		switch {
		case !c.refused && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.refused && (!errors.As(err, &refused) || !refused.TooLarge):
			t.Errorf("%s: %v", name, err)
		case cost > 2*uint64(max(most, 4*len(c.body)))+1<<20:
			t.Errorf("%s: %d bytes allocated for a body of %d", name, cost, len(c.body))
		}
		if c.as != msg.TypeReadResponse {
			continue
		}
		var used wire.ReadPage
		if err := wire.DecodeRead(wire.V3, encodeFrame(t, wire.V3, page(50, 50))[wire.HeaderSize:], &used); err != nil {
			t.Fatal(err)
		}
		if err := wire.DecodeRead(wire.V3, c.body, &used); (err != nil) != c.refused {
			t.Errorf("%s, into a page: %v", name, err)
		}
	}
}

// TestLengthsOfAllBitsAreRefused: a length of 2³²−1 is no negative one where an int
// has 32 bits.
func TestLengthsOfAllBitsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		as   any
		body string
	}{
		"payload as bin":    {msg.TypeReadResponse, inPage("980100c0000a00 c6ffffffff")},
		"payload as text":   {msg.TypeReadResponse, inPage("980100c0000a00 dbffffffff")},
		"payload as array":  {msg.TypeReadResponse, inPage("980100c0000a00 ddffffffff")},
		"batches":           {msg.TypeReadResponse, "93c0 ddffffffff"},
		"events":            {msg.TypeReadResponse, "93c0 91 950000c000 ddffffffff"},
		"map":               {msg.TypeReadResponse, "dfffffffff"},
		"id as bin":         {msg.TypeDetailsResponse, "9dc6ffffffff"},
		"error text":        {msg.TypeErrorResponse, "93c000dbffffffff"},
		"writes":            {msg.TypeWriteRequest, "94c000c0dfffffffff"},
		"schema":            {msg.TypeRegisterSchemaRequest, "96c000c094000000 00 00 dbffffffff"},
		"unknown extension": {msg.TypeReadResponse, "8178c9ffffffff00"},
		"unknown text":      {msg.TypeReadResponse, "81a178dbffffffff"},
	} {
		body := append(unhex(t, c.body), make([]byte, 100)...)
		if _, err := decodeAs(wire.V3, c.as, body); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for at := range 60 {
		body := append(make([]byte, at), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
		_, _ = decodeAs(wire.V2, msg.TypeReadResponse, append(body, make([]byte, 100)...))
		_, _ = decodeAs(wire.V2, msg.TypeErrorResponse, append(body, make([]byte, 100)...))
	}
}

// TestCountsAreBoundedByTheSmallestElement: a count may claim as many elements
// as the bytes left could hold at best, and not one more. The bytes behind the
// count are zeros, for an element of which only its size matters.
func TestCountsAreBoundedByTheSmallestElement(t *testing.T) {
	const left = 2000
	for _, c := range []struct {
		name         string
		v            wire.Version
		as           any
		head         string
		count, least int
	}{
		{"batches", wire.V2, msg.TypeReadResponse, "00", 8, 41},
		{"events", wire.V2, msg.TypeReadResponse, "00 0100000000000000" + zero8 + zero8 + zero8 + "00" + zero8, 8, 50},
		{"writes", wire.V2, msg.TypeWriteRequest, "00" + zero8 + zero8 + "00", 8, 59},
		{"deletes", wire.V2, msg.TypeDeleteRequest, "00" + zero8 + zero8 + "00", 8, 51},
		{"notifications", wire.V2, msg.TypeWatchResponse, "", 8, 52},
		{"organisations", wire.V2, msg.TypeListOrgsResponse, "00", 8, 16},
		{"types", wire.V2, msg.TypeListTypesResponse, "00", 8, 32},
		{"aggregates", wire.V2, msg.TypeListAggregatesResponse, "00", 8, 137},
		{"ids", wire.V2, msg.TypeWatchRequest, "00 00 00 01", 8, 16},
		{"operations", wire.V2, msg.TypeWatchRequest, "00 00 00 00 00 00 01", 8, 1},
		{"batches", wire.V3, msg.TypeReadResponse, "93c0", 4, 6},
		{"events", wire.V3, msg.TypeReadResponse, "93c0 91 9500 00 c0 00", 4, 8},
		{"writes", wire.V3, msg.TypeWriteRequest, "94c0 00 c0", 5, 9},
		{"deletes", wire.V3, msg.TypeDeleteRequest, "94c0 00 c0", 5, 8},
		{"notifications", wire.V3, msg.TypeWatchResponse, "91", 4, 8},
		{"organisations", wire.V3, msg.TypeListOrgsResponse, "93c0", 4, 2},
		{"types", wire.V3, msg.TypeListTypesResponse, "93c0", 4, 3},
		{"aggregates", wire.V3, msg.TypeListAggregatesResponse, "93c0", 4, 16},
		{"ids", wire.V3, msg.TypeWatchRequest, "97c0c0c0", 4, 1},
		{"payload as array", wire.V3, msg.TypeReadResponse, "93c0 91 9500 00 c0 00 91 98 00 00 c0 00 00 00", 4, 1},
	} {
		for _, claim := range []int{left / c.least, left/c.least + 1} {
			body := unhex(t, c.head)
			switch c.count {
			case 8:
				body = binary.LittleEndian.AppendUint64(body, uint64(claim))
			case 4:
				body = binary.BigEndian.AppendUint32(append(body, 0xdd), uint32(claim))
			case 5:
				body = binary.BigEndian.AppendUint32(append(body, 0xdf), uint32(claim))
			}
			_, err := decodeAs(c.v, c.as, append(body, make([]byte, left)...))
			refused := err != nil && strings.Contains(err.Error(), "does not fit")
			if want := claim > left/c.least; refused != want {
				t.Errorf("%s, version %d: a claim of %d with %d bytes left: %v", c.name, c.v, claim, left, err)
			}
		}
	}
}

func TestDecodeErrorsSayWhere(t *testing.T) {
	for _, c := range []struct {
		v    wire.Version
		as   any
		body string
		want string
	}{
		{wire.V3, msg.TypeReadResponse, inPage("980100c0000a00c0c0"),
			"wire: decoding read response, version 3: AggregateEvent at byte 33: want a byte string, found 0xc0"},
		{wire.V3, msg.TypeReadResponse, "93c0 91 9501" + id16 + "c000 90 c3",
			"wire: decoding read response, version 3: ReadResponse at byte 26: want an integer, found 0xc3"},
		{wire.V3, msg.TypeReadResponse, "93c0 91 84 00 01 01" + id16 + "03 c3 04 90 c0",
			"wire: decoding read response, version 3: AggregateEventBatch at byte 3: want an integer, found 0xc3"},
		{wire.V2, msg.TypeReadResponse, "00 ffffffffffffffff 00",
			"wire: decoding read response, version 2: ReadResponse at byte 1: a count of 18446744073709551615 does not fit the 1 bytes left"},
	} {
		if _, err := decodeAs(c.v, c.as, unhex(t, c.body)); err == nil || err.Error() != c.want {
			t.Errorf("error is\n%v, want\n%v", err, c.want)
		}
	}
}
