package celerianttest_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

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

// TestOrderOfRefusals: routing, then the proven client id, then the API key.
func TestOrderOfRefusals(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{APIKeys: celerianttest.APIKeys{PrimaryRO: celerianttest.HashAPIKey(apiKey)}})
	p := dial(t, node)
	req := signedIdentify(t, time.Now())
	req.APIKey = msg.Some(base64.StdEncoding.EncodeToString(apiKey[:]))
	resp, ok := p.call(req).(*msg.IdentifyResponse)
	if !ok || !resp.ClientID.Set || resp.Access != msg.Some(msg.ReadOnly) {
		t.Fatalf("%+v", resp)
	}
	p.send(&msg.WriteRequest{ClientID: writer})
	p.wantError(msg.CodeRouting)
	foreign := writeTo(key(1), event(1, "x"))
	p.send(foreign)
	p.wantError(msg.CodeClientIDMismatch)
	own := writeTo(key(1)) // no events: a shape error if it got that far
	own.ClientID = resp.ClientID.Value
	p.send(own)
	p.wantError(msg.CodeReadOnlyKey)
	p.send(readFrom(key(1), 1))
	p.wantError(msg.CodeReadNotFound)
}

// TestNonceWindow: two minutes old at most, one in the future at most.
func TestNonceWindow(t *testing.T) {
	inBubble(t, celerianttest.Options{}, func(t *testing.T, node *celerianttest.Node) {
		for offset, ok := range map[time.Duration]bool{
			-2 * time.Minute: true, -2*time.Minute - time.Millisecond: false,
			time.Minute: true, time.Minute + time.Millisecond: false,
		} {
			p := dial(t, node)
			_, accepted := p.call(signedIdentify(t, time.Now().Add(offset))).(*msg.IdentifyResponse)
			if accepted != ok {
				t.Errorf("a nonce %v from now: accepted %v", offset, accepted)
			}
		}
	})
}

//covers:clocks
func TestClockIsUsedForNoncesAndTimestamps(t *testing.T) {
	at := time.UnixMilli(1_500_000_000_123)
	node := celerianttest.Run(t, celerianttest.Options{Clock: stopped(at)})
	p := dial(t, node)
	if _, ok := p.call(signedIdentify(t, at)).(*msg.IdentifyResponse); !ok {
		t.Fatal("the nonce was not compared with the clock of the options")
	}
	p = dial(t, node)
	p.call(writeTo(key(1), event(1, "x")))
	if page := p.call(readFrom(key(1), 1)).(*msg.ReadResponse); page.Batches[0].ServerTimestamp != uint64(at.UnixMilli()) {
		t.Fatalf("%+v", page)
	}
}

type stopped time.Time

func (s stopped) Now() time.Time { return time.Time(s) }

var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// signedIdentify proves a key with a nonce of that instant.
func signedIdentify(t *testing.T, at time.Time) *msg.IdentifyRequest {
	t.Helper()
	private, err := rsaKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	nonce := strconv.FormatInt(at.UnixMilli(), 10)
	digest := sha256.Sum256([]byte(nonce))
	signature, err := rsa.SignPKCS1v15(nil, private, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return &msg.IdentifyRequest{
		PublicKey: msg.Some(base64.StdEncoding.EncodeToString(der)),
		Nonce:     msg.Some(nonce),
		Signature: msg.Some(base64.StdEncoding.EncodeToString(signature)),
	}
}
