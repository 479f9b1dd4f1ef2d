package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// security is how connections are encrypted and what they prove. Secrets come
// from files: a command line can be read by everybody on the machine.
type security struct {
	encrypt                                   bool
	authorities, serverName, certificate, key string
	apiKey, keyPair                           string

	client msg.Opt[msg.ID] // that the key pair proves, once applied
}

// securityFlags are the names of its flags.
var securityFlags = []string{"tls", "tls-ca", "tls-server-name", "tls-cert", "tls-key", "api-key-file", "identity-file"}

func (s *security) bind(c *cobra.Command) {
	flags := c.Flags()
	flags.BoolVar(&s.encrypt, "tls", false, "speak TLS; any other --tls flag implies it")
	flags.StringVar(&s.authorities, "tls-ca", "", "PEM file of the authorities to trust (default: the system's)")
	flags.StringVar(&s.serverName, "tls-server-name", "", "name the nodes' certificates must have (default: the host that is dialled)")
	flags.StringVar(&s.certificate, "tls-cert", "", "PEM file of the certificate to show; needs --tls-key")
	flags.StringVar(&s.key, "tls-key", "", "PEM file of its private key")
	flags.StringVar(&s.apiKey, "api-key-file", "", "file of the API key, in base64")
	flags.StringVar(&s.keyPair, "identity-file", "", "file of the RSA private key that proves the client id; see identity new")
	completeNothing(c, "tls-server-name")
}

// apply puts the security into the options of a pool.
func (s *security) apply(o *pool.Options) error {
	if (s.certificate == "") != (s.key == "") {
		return usagef("--tls-cert and --tls-key need each other")
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
	if s.apiKey == "" && s.keyPair == "" {
		return nil
	}
	o.Identity = pool.FileIdentity(s.apiKey, s.keyPair)
	credentials, err := o.Identity(context.Background()) // reads files only
	if err != nil {
		return fmt.Errorf("reading the credentials: %w", err)
	}
	if !credentials.KeyPair.IsZero() {
		s.client = msg.Some(credentials.KeyPair.ClientID())
	}
	return nil
}
