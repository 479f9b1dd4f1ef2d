package local

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// keyBits is the one size that fits into the protocol's Identify and is strong
// enough.
const keyBits = 2048

// NewIdentity returns the command identity.
func NewIdentity() *cobra.Command {
	return cli.NewGroup("identity", "Make identities", newIdentityNew())
}

func newIdentityNew() *cobra.Command {
	c := &cobra.Command{
		Use:   "new FILE",
		Short: "Make an RSA key pair and tell its client id",
		Long: `Make an RSA key pair of 2048 bits, store the private key in FILE (PKCS #8, PEM,
readable by its owner only), and tell the client id that nodes derive from the
public key. The file must not exist. Use it with --identity-file: connections
prove the client id with it, and changes carry no other.`,
		Args: cli.UsageArgs(cobra.ExactArgs(1)),
	}
	s := new(node.Session)
	s.BindJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		id, err := newKeyFile(args[0])
		if err != nil {
			return err
		}
		return s.Print(c, newIdentityLine{id, args[0]}, fmt.Sprintf("client id %v, private key in %s\n", id, args[0]))
	}
	return c
}

type newIdentityLine struct {
	ClientID msg.ID `json:"client_id"`
	File     string `json:"file"`
}

// newKeyFile makes a key pair, stores it and returns its client id.
func newKeyFile(path string) (msg.ID, error) {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return msg.ID{}, fmt.Errorf("making a key: %w", err)
	}
	pair, err := pool.NewKeyPair(private)
	if err != nil {
		return msg.ID{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return msg.ID{}, fmt.Errorf("encoding the key: %w", err)
	}
	// O_EXCL: overwriting a key would lose an identity.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return msg.ID{}, err
	}
	err = pem.Encode(file, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return msg.ID{}, errors.Join(fmt.Errorf("storing the key: %w", err), os.Remove(path))
	}
	return pair.ClientID(), nil
}
