package main_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestDevSpeaksTLS(t *testing.T) {
	a := newAuthority(t)
	for _, name := range []string{"node", "front", "me"} {
		a.issue(t, name)
	}
	node := []string{"--tls-mode", "strict", "--tls-node-cert", a.path("node"), "--tls-node-key=" + a.path("node.key")}
	trusting := []string{"--tls-ca", a.path("ca")}
	known := append([]string{"--tls-cert", a.path("me"), "--tls-key", a.path("me.key")}, trusting...)
	for _, c := range []struct {
		name          string
		flags         []string
		known, others bool // who is let in
		shows         string
	}{
		{"require", []string{"--tls-ca-cert", a.path("ca")}, true, false, "node"},
		{"optional", []string{"--tls-ca-cert", a.path("ca"), "--tls-client-auth", "optional"}, true, true, "node"},
		{"none", []string{"--tls-client-auth", "none"}, true, true, "node"},
		{"front", []string{"--tls-client-auth", "none", "--tls-client-cert", a.path("front"), "--tls-client-key", a.path("front.key")}, true, true, "front"},
	} {
		p := startDev(t, append(append([]string{"--client-port", "0", "--json"}, node...), c.flags...)...)
		var line struct {
			Address string
			TLS     bool
		}
		if err := json.Unmarshal([]byte(p.first), &line); err != nil || !line.TLS {
			t.Errorf("%s: told %s", c.name, p.first)
		}
		list := func(args ...string) bool {
			return command(t, append([]string{"list", "orgs", "--address", line.Address}, args...)...).status == 0
		}
		if got := list(known...); got != c.known {
			t.Errorf("%s: known clients are let in: %v", c.name, got)
		}
		if got := list(trusting...); got != c.others {
			t.Errorf("%s: others are let in: %v", c.name, got)
		}
		if list() || list(append(known, "--tls-server-name", "other")...) || !list(append(known, "--tls-server-name", c.shows)...) {
			t.Errorf("%s: it does not show the certificate of %s", c.name, c.shows)
		}
		if status := p.stop(t, os.Interrupt); status != 0 {
			t.Errorf("%s: status %d", c.name, status)
		}
	}
	pair := startPair(t, append(node, "--tls-client-auth=none")...)
	r := command(t, append(with(key7, trusting...), "write", "--seed", pair.A+","+pair.B, file(t, `{"text":"a"}`))...)
	if r.status != 0 {
		t.Errorf("a pair: status %d, %q", r.status, r.stderr)
	}
	if words := startDev(t, append(node, "--tls-client-auth=none", "--client-port=0")...).first; !strings.Contains(words, "TLS only") {
		t.Errorf("told %q", words)
	}
}

func TestDevRefusesTLSThatCannotWork(t *testing.T) {
	a := newAuthority(t)
	a.issue(t, "node")
	node := "--tls-mode strict --tls-node-cert " + a.path("node") + " --tls-node-key " + a.path("node.key")
	for args, want := range map[string]string{
		"--tls-mode permissive":  `"permissive" is none of disabled, strict`,
		"--tls-node-cert x":      "flag --tls-node-cert needs --tls-mode strict",
		"--tls-client-auth none": "flag --tls-client-auth needs --tls-mode strict",
		"--tls-mode":             "flag --tls-mode needs a value",
		"--tls-mode strict":      "needs --tls-node-cert and --tls-node-key",
		node:                     "flag --tls-ca-cert is needed",
		node + " --tls-ca-cert " + a.path("node.key"): "holds no certificate",
		node + " --tls-ca-cert " + a.path("none"):     a.path("none"),
		node + " --tls-client-auth maybe":             `"maybe" is none of require, optional, none`,
		node + " --tls-client-cert x":                 "need each other",
		"--tls-mode strict --tls-client-auth none --tls-node-cert " + a.path("none") + " --tls-node-key x": a.path("none"),
		node + " --tls-client-auth none --tls-cert-reload-interval-secs 5":                                 "--tls-cert-reload-interval-secs of the reference server has no meaning here",
		"--tls-mode disabled --s3-enabled":                                                                 "--s3-enabled of the reference server",
	} {
		r := command(t, append([]string{"dev", "--client-port", "0"}, strings.Fields(args)...)...)
		status := 2
		if strings.Contains(want, string(os.PathSeparator)) || want == "holds no certificate" {
			status = 1 // a file is at fault, not the command line
		}
		if r.status != status || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: status %d, %q, want %d and %q", args, r.status, r.stderr, status, want)
		}
	}
}
