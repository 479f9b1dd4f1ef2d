package pool

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Trust says whether a pool may follow an address that is not configured: one that a node
// has named as the leader's, after MapAddress, or that [Pool.At] was asked for. configured
// are the configured addresses. Trust is called from several goroutines; one that panics
// says no.
type Trust func(address string, configured []string) bool

// TrustSameHosts trusts all ports of the configured hosts.
func TrustSameHosts(address string, configured []string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && slices.ContainsFunc(configured, func(known string) bool {
		knownHost, _, err := net.SplitHostPort(known)
		return err == nil && strings.EqualFold(knownHost, host)
	})
}

// TrustAddresses trusts the addresses given, each "host:port".
func TrustAddresses(addresses ...string) Trust {
	return func(address string, _ []string) bool { return slices.Contains(addresses, address) }
}

// TrustNetworks trusts addresses whose host is an IP address inside one of the networks. A
// host name is never inside.
func TrustNetworks(networks ...netip.Prefix) Trust {
	return func(address string, _ []string) bool {
		host, _, _ := net.SplitHostPort(address)
		ip, err := netip.ParseAddr(host)
		return err == nil && slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(ip.Unmap()) })
	}
}

// vouched asks the user's Trust.
func (o *Options) vouched(address string) (trusted bool) {
	if o.Trust == nil {
		return false
	}
	defer func() {
		if recover() != nil {
			trusted = false
		}
	}()
	return o.Trust(address, o.addresses())
}

func (o *Options) configured(address string) bool { return slices.Contains(o.addresses(), address) }

// trusted reports whether requests, with the credentials if there are any, may go to an
// address that the user has named. Under TLS the certificate decides, before anything
// is sent; see tlsConfig.
func (o *Options) trusted(address string) bool {
	return o.Identity == nil || o.TLS != nil || o.configured(address) || o.vouched(address)
}

// follow is what becomes of an address that teller has named as the leader's.
func (o *Options) follow(teller, named string) (address string, ok bool) {
	mapped := named
	if o.MapAddress != nil {
		mapped = o.mapAddress(named)
	}
	address, problem := cleanAddress(mapped)
	switch {
	case problem != "":
		return "", false
	case o.configured(address):
		return address, true
	case mapped == named && !nameable(teller, address):
		return "", false
	case o.Trust != nil && o.TLS == nil:
		return address, o.vouched(address)
	}
	return address, o.trusted(address)
}

// mapAddress calls the user's function; one that panics drops the hint.
func (o *Options) mapAddress(named string) (address string) {
	defer func() {
		if recover() != nil {
			address = ""
		}
	}()
	return o.MapAddress(named)
}

// cleanAddress trims an address and says what is wrong with it, empty for nothing.
func cleanAddress(address string) (clean, problem string) {
	clean = strings.TrimSpace(address)
	host, port, err := net.SplitHostPort(clean)
	switch {
	case strings.Contains(clean, "://"):
		return clean, `has a scheme, must be "host:port"`
	case err != nil || host == "" || port == "":
		return clean, `must be "host:port"`
	case strings.ContainsFunc(clean, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '/' || r == '@' }):
		return clean, "must not contain white space, control characters, slashes or @"
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return clean, "must have a port from 1 to 65535"
	}
	return clean, ""
}

// addressKind sorts hosts by who can reach them.
type addressKind uint8

const (
	hostName addressKind = iota
	loopback
	private
	public
	never // nobody may be sent there: unspecified, link-local (with metadata services), multicast
)

// metadataAddresses are those of cloud metadata services outside of the link-local range.
var metadataAddresses = []netip.Addr{netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200")}

func kindOfIP(ip netip.Addr) addressKind {
	ip = ip.Unmap().WithZone("")
	switch {
	case ip.IsLoopback():
		return loopback
	case ip.IsUnspecified(), ip.IsMulticast(), ip.IsLinkLocalUnicast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}), slices.Contains(metadataAddresses, ip):
		return never
	case ip.IsPrivate(), sharedNetwork.Contains(ip):
		return private
	}
	return public
}

// sharedNetwork is private to providers.
var sharedNetwork = netip.MustParsePrefix("100.64.0.0/10")

func kindOf(address string) addressKind {
	host, _, _ := net.SplitHostPort(address)
	if ip, err := netip.ParseAddr(host); err == nil {
		return kindOfIP(ip)
	}
	if name := strings.TrimSuffix(strings.ToLower(host), "."); name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return loopback
	}
	return hostName
}

// nameable reports whether a node may name an address: one that it is likely to share a
// network with.
func nameable(teller, address string) bool {
	told, hint := kindOf(teller), kindOf(address)
	switch {
	case hint == never:
		return false
	case hint == loopback, told == loopback:
		return hint == told || told == loopback && hint == hostName
	case told == hostName, hint == hostName:
		return true // what the name stands for is looked at when it is dialled
	}
	return told == hint
}

// reachable is which IP addresses the host of a learnt address may stand for.
func (o *Options) reachable(address string) func(netip.Addr) bool {
	local := kindOf(address) == loopback || slices.ContainsFunc(o.addresses(), func(a string) bool { return kindOf(a) == loopback })
	return func(ip netip.Addr) bool {
		kind := kindOfIP(ip)
		return kind != never && (local || kind != loopback)
	}
}

// tlsConfig is how a connection to an address is encrypted. The certificate of a learnt
// node must be made out to a configured host, or to its own if Trust vouches for it:
// any other host could have a certificate of some authority.
func (o *Options) tlsConfig(address string, learnt bool) func(context.Context) (*tls.Config, error) {
	return func(ctx context.Context) (*tls.Config, error) {
		config, err := o.TLS.config(ctx, address)
		if err != nil || !learnt || o.TLS.ServerName != "" {
			return config, err
		}
		names := hostsOf(o.addresses())
		if o.vouched(address) {
			names = append(names, hostsOf([]string{address})...)
		}
		roots := config.RootCAs
		config.InsecureSkipVerify = true // what it skips is done below, for several names
		config.VerifyConnection = func(state tls.ConnectionState) error { return verifyOneOf(names, roots, state) }
		return config, nil
	}
}

func hostsOf(addresses []string) []string {
	var hosts []string
	for _, address := range addresses {
		if host, _, err := net.SplitHostPort(address); err == nil {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// verifyOneOf is the verification of crypto/tls for any of several names.
func verifyOneOf(names []string, roots *x509.CertPool, state tls.ConnectionState) (err error) {
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, certificate := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(certificate)
	}
	for _, options.DNSName = range names {
		if _, err = state.PeerCertificates[0].Verify(options); err == nil {
			return nil
		}
	}
	return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
}

// near reports whether there is no network between here and a node, as far as its
// address tells: packing a page takes a node longer than the loopback interface takes to
// carry it. With TLS the Identify is needed all the same: it shows that the node has
// accepted the handshake before a mutation is sent.
func (o *Options) near(address string) bool {
	return !o.CompressLoopback && o.TLS == nil && kindOf(address) == loopback
}
