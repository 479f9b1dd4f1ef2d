package wire_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// Golden: an id made of a name, and the client id of protocol section 8.2, stand in
// a frame as their UUID text has them in version 3, and reversed in version 2.
func TestIDsOnTheWire(t *testing.T) {
	name := msg.IDFromName(msg.MustParseID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), "www.example.com")
	for _, c := range []struct {
		id     msg.ID
		v2, v3 string
	}{
		{name, "a2a6aea86526e1958b5627e97d65d62e", "2ed6657de927568b95e12665a8aea6a2"},
		{msg.MustParseID("05af7819-cc85-448a-dda2-ef1eb042dfe5"), "e5df42b01eefa2dd8a4485cc1978af05", "05af7819cc85448adda2ef1eb042dfe5"},
	} {
		for v, want := range map[wire.Version]string{wire.V2: c.v2, wire.V3: c.v3} {
			frame, err := wire.AppendRequest(nil, v, &msg.TrimStartRequest{ClientID: c.id}, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			bytesWanted, err := hex.DecodeString(want)
			if err != nil || !bytes.Contains(frame, bytesWanted) {
				t.Errorf("version %d: %x does not hold %s", v, frame, want)
			}
		}
	}
}
