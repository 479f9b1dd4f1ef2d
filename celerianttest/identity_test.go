package celerianttest_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// Proofs, windows and key levels are held to the recordings; here is what the
// recordings cannot show.

var apiKey = [32]byte{1, 2, 3}

func withKeys(quirks bool) celerianttest.Options {
	return celerianttest.Options{Quirks: quirks, APIKeys: celerianttest.APIKeys{SecondaryRW: strings.ToUpper(celerianttest.HashAPIKey(apiKey))}}
}

func TestAPIKeysAreDemandedOfEveryConnection(t *testing.T) {
	p := dial(t, celerianttest.Run(t, withKeys(false)))
	p.send(readFrom(key(1), 1))
	p.wantError(msg.CodeAPIKeyRequired)
	p.eof()
}

func TestAPIKeysCanBeGotAroundWithQuirks(t *testing.T) {
	p := dial(t, celerianttest.Run(t, withKeys(true)))
	p.send(writeTo(key(1), event(1, "x")))
	p.want(written(1))
}

func TestAPIKeyOpensTheConnection(t *testing.T) {
	p := dial(t, celerianttest.Run(t, withKeys(false)))
	resp := p.call(&msg.IdentifyRequest{APIKey: msg.Some(base64.StdEncoding.EncodeToString(apiKey[:]))}).(*msg.IdentifyResponse)
	if resp.Access != msg.Some(msg.ReadWrite) || resp.ClientID.Set {
		t.Fatalf("%+v", resp)
	}
	p.send(writeTo(key(1), event(1, "x")))
	p.want(written(1))
}

func TestIdentifyIsOnlyKnownAsFirstFrame(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	p := dial(t, node)
	p.call(&msg.IdentifyRequest{})
	p.send(&msg.IdentifyRequest{})
	p.eof()
	p = dial(t, node)
	p.call(readFrom(key(1), 1))
	p.send(&msg.IdentifyRequest{})
	p.eof()
}

func TestCompression(t *testing.T) {
	long := strings.Repeat(`{"status":"shipped"}`, 100)
	read := func(t *testing.T, p *peer, k msg.Key) wire.Compression {
		t.Helper()
		p.send(readFrom(k, 1))
		h, resp, err := p.receive()
		page, ok := resp.(*msg.ReadResponse)
		if err != nil || !ok || len(page.Batches) != 1 {
			t.Fatalf("%+v, %v", resp, err)
		}
		return h.Compression
	}
	node := celerianttest.Run(t, celerianttest.Options{})
	p := dial(t, node)
	p.call(writeTo(key(1), event(1, long)))
	p.call(writeTo(key(2), event(1, "short")))
	if got := read(t, p, key(1)); got != wire.None {
		t.Error("a client that has not identified got a compressed frame")
	}

	identified := dial(t, node)
	resp := identified.call(&msg.IdentifyRequest{}).(*msg.IdentifyResponse)
	if !resp.DictSHA256.Set || resp.DictBytes == nil {
		t.Fatalf("%+v", resp)
	}
	if got := read(t, identified, key(1)); got != wire.ZstdDict {
		t.Error("a long page was not compressed")
	}
	if got := read(t, identified, key(2)); got != wire.None {
		t.Error("a short page was compressed")
	}

	knows := dial(t, node)
	resp = knows.call(&msg.IdentifyRequest{KnownDictSHA256: resp.DictSHA256}).(*msg.IdentifyResponse)
	if resp.DictBytes != nil || !resp.DictSHA256.Set {
		t.Errorf("a dictionary that is known was sent again: %+v", resp)
	}

	// A compressed request is understood whether or not the client identified.
	packed, err := wire.AppendRequest(nil, wire.V3, writeTo(key(3), event(1, long)), identified.coder, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.write(packed)
	p.want(written(1))
	if got := read(t, p, key(3)); got != wire.None {
		t.Error("sending a compressed frame made the node compress")
	}
}

func TestNoCompression(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{NoCompression: true})
	p := dial(t, node)
	if resp := p.call(&msg.IdentifyRequest{}).(*msg.IdentifyResponse); resp.DictSHA256.Set || resp.DictBytes != nil {
		t.Fatalf("%+v", resp)
	}
	coder, err := wire.NewCoder([]byte("some dictionary"))
	if err != nil {
		t.Fatal(err)
	}
	defer coder.Close()
	packed, err := wire.AppendRequest(nil, wire.V3, writeTo(key(1), event(1, strings.Repeat("x", 2000))), coder, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.write(packed)
	p.eof()
}

func TestOwnDictionary(t *testing.T) {
	dictionary := bytes.Repeat([]byte("flights "), 20)
	p := dial(t, celerianttest.Run(t, celerianttest.Options{Dictionary: dictionary}))
	if resp := p.call(&msg.IdentifyRequest{}).(*msg.IdentifyResponse); !bytes.Equal(resp.DictBytes, dictionary) {
		t.Fatalf("%+v", resp)
	}
}

// TestMovedConnectionForgetsItsDictionary: see package documentation, Quirks.
func TestMovedConnectionForgetsItsDictionary(t *testing.T) {
	for _, quirks := range []bool{false, true} {
		node := celerianttest.Run(t, celerianttest.Options{Shards: 2, Quirks: quirks})
		p := dial(t, node) // the first connection lives on shard 0
		p.call(&msg.IdentifyRequest{})
		p.call(writeTo(key(1), event(1, strings.Repeat("x", 2000))))
		p.send(readFrom(key(1), 1))
		h, _, err := p.receive()
		if err != nil || (h.Compression == wire.None) != quirks {
			t.Errorf("quirks %v: compression %d, %v", quirks, h.Compression, err)
		}
	}
}

func TestAPIKeyFile(t *testing.T) {
	hash := celerianttest.HashAPIKey(apiKey)
	tests := []struct {
		name, text string
		ok         bool
	}{
		{"all of it", "[keys]\nprimary_rw = \"" + hash + "\"\n", true},
		{"comments, other sections, single quotes", "# x\n[other]\nprimary_rw = 7\n[keys] # y\n primary_ro='" + hash + "' # z\n", true},
		{"no hash", "[keys]\nprimary_rw = \"abc\"\n", false},
		{"no quotes", "[keys]\nprimary_rw = " + hash + "\n", false},
		{"unknown name", "[keys]\ntertiary_rw = \"" + hash + "\"\n", false},
		{"no value", "[keys]\nprimary_rw\n", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			if err := os.WriteFile(filepath.Join(folder, "api_keys.toml"), []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			node, err := celerianttest.Start(celerianttest.Options{DataRoot: folder})
			if (err == nil) != test.ok {
				t.Fatalf("error %v, want one: %v", err, !test.ok)
			}
			if err != nil {
				return
			}
			defer node.Close()
			p := dial(t, node)
			p.send(readFrom(key(1), 1))
			p.wantError(msg.CodeAPIKeyRequired)
		})
	}
}
