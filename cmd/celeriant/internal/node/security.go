package node

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// Security is how connections are encrypted and what they prove. Secrets come
// from files: a command line can be read by everybody on the machine.
type Security struct {
	encrypt                                   bool
	authorities, serverName, certificate, key string
	apiKey, KeyPair                           string

	Client msg.Opt[msg.ID] // that the key pair proves, once applied
}

// SecurityFlags are the names of its flags.
var SecurityFlags = []string{"tls", "tls-ca", "tls-server-name", "tls-cert", "tls-key", "api-key-file", "identity-file"}

// Bind adds the flags of TLS and of credentials.
func (s *Security) Bind(c *cobra.Command) {
	flags := c.Flags()
	flags.BoolVar(&s.encrypt, "tls", false, "speak TLS; any other --tls flag implies it")
	flags.StringVar(&s.authorities, "tls-ca", "", "PEM file of the authorities to trust (default: the system's)")
	flags.StringVar(&s.serverName, "tls-server-name", "", "name the nodes' certificates must have (default: the host that is dialled)")
	flags.StringVar(&s.certificate, "tls-cert", "", "PEM file of the certificate to show; needs --tls-key")
	flags.StringVar(&s.key, "tls-key", "", "PEM file of its private key")
	flags.StringVar(&s.apiKey, "api-key-file", "", "file of the API key, in base64")
	flags.StringVar(&s.KeyPair, "identity-file", "", "file of the RSA private key that proves the client id; see identity new")
	cli.CompleteNothing(c, "tls-server-name")
}

// Apply puts the security into the options of a pool.
func (s *Security) Apply(o *pool.Options) error {
	if (s.certificate == "") != (s.key == "") {
		return cli.Usagef("--tls-cert and --tls-key need each other")
	}
	if s.encrypt || s.authorities != "" || s.serverName != "" || s.certificate != "" {
		o.TLS = &pool.TLS{ServerName: s.serverName}
		if s.authorities != "" {
			o.TLS.Roots = pool.RootsFile(s.authorities)
		}
		if s.certificate != "" {
			o.TLS.Certificate = pool.CertificateFiles(s.certificate, s.key)
		}
	}
	if s.apiKey == "" && s.KeyPair == "" {
		return nil
	}
	o.Identity = pool.FileIdentity(s.apiKey, s.KeyPair)
	credentials, err := o.Identity(context.Background()) // reads files only
	if err != nil {
		return fmt.Errorf("reading the credentials: %w", err)
	}
	if !credentials.KeyPair.IsZero() {
		s.Client = msg.Some(credentials.KeyPair.ClientID())
	}
	return nil
}
