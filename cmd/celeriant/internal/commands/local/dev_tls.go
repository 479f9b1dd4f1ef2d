package local

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
)

const devTLSHelp = `  --tls-mode MODE
        disabled (default) or strict: TLS connections only
  --tls-node-cert FILE
        PEM file of the node's certificate; with strict
  --tls-node-key FILE
        PEM file of its private key
  --tls-client-cert FILE
        PEM file of another certificate to show to clients
  --tls-client-key FILE
        PEM file of its private key
  --tls-ca-cert FILE
        PEM file of the authorities that clients' certificates come from
  --tls-client-auth AUTH
        require (default), optional or none: whether clients must show a certificate
`

// tlsFlags are the reference server's flags for TLS that the node has a use
// for. The others are refused like all that mean nothing here.
type tlsFlags struct {
	mode, nodeCert, nodeKey, clientCert, clientKey, authorities, clientAuth string
}

// takeTLS removes the flags for TLS and returns what they ask for, nil for
// plain connections.
func takeTLS(args []string) (rest []string, config *tls.Config, err error) {
	var f tlsFlags
	for _, flag := range []struct {
		name string
		to   *string
	}{
		{"--tls-mode", &f.mode}, {"--tls-node-cert", &f.nodeCert}, {"--tls-node-key", &f.nodeKey}, {"--tls-client-cert", &f.clientCert},
		{"--tls-client-key", &f.clientKey}, {"--tls-ca-cert", &f.authorities}, {"--tls-client-auth", &f.clientAuth},
	} {
		if args, *flag.to, err = takeValue(args, flag.name); err != nil {
			return nil, nil, err
		}
		if *flag.to != "" && f.mode != "strict" && flag.to != &f.mode {
			return nil, nil, cli.Usagef("flag %s needs --tls-mode strict", flag.name)
		}
	}
	switch f.mode {
	case "", "disabled":
		return args, nil, nil
	case "strict":
		config, err = f.config()
		return args, config, err
	}
	return nil, nil, cli.Usagef("flag --tls-mode: %q is none of disabled, strict", f.mode)
}

func (f *tlsFlags) config() (*tls.Config, error) {
	cert, key := f.nodeCert, f.nodeKey
	switch {
	case cert == "" || key == "":
		return nil, cli.Usagef("flag --tls-mode strict needs --tls-node-cert and --tls-node-key")
	case (f.clientCert == "") != (f.clientKey == ""):
		return nil, cli.Usagef("flags --tls-client-cert and --tls-client-key need each other")
	case f.clientCert != "":
		cert, key = f.clientCert, f.clientKey
	}
	own, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", cert, key, err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{own}}
	return config, f.ask(config)
}

// ask sets what clients must show.
func (f *tlsFlags) ask(config *tls.Config) error {
	switch f.clientAuth {
	case "none":
		return nil
	case "optional":
		config.ClientAuth = tls.VerifyClientCertIfGiven
	case "", "require":
		config.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return cli.Usagef("flag --tls-client-auth: %q is none of require, optional, none", f.clientAuth)
	}
	if f.authorities == "" {
		return cli.Usagef("flag --tls-ca-cert is needed to verify clients; --tls-client-auth none takes them as they are")
	}
	text, err := os.ReadFile(f.authorities)
	if err != nil {
		return err
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return fmt.Errorf("flag --tls-ca-cert: %s holds no certificate", f.authorities)
	}
	return nil
}
