package wire_test

import (
	"bytes"
	"fmt"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// A request goes out as one frame; a node reads the frame, then decodes its
// body by the version and type of its header.
func Example() {
	frame, err := wire.AppendRequest(nil, wire.V3, &msg.ListOrgsRequest{Shard: 5}, nil, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%x\n", frame)

	h, body, err := wire.ReadRequestFrame(bytes.NewReader(frame), 16<<20, nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	req, err := wire.DecodeRequest(h.Version, msg.RequestType(h.Type), body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(req.RequestType(), req.(*msg.ListOrgsRequest).Shard)
	// Output:
	// 030000000700000004000000040000000093c005c0
	// list organisations 5
}
