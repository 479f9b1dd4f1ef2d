package main_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/gateway/client"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
)

func TestGatewayRefusesWhatIsNotSafe(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--listen", "0.0.0.0:0"}, "--auth-file"},
		{[]string{"--listen", ":0"}, "--auth-file"},
		{[]string{"--http-listen", "192.0.2.1:80"}, "--auth-file"},
		{[]string{"--listen", "nowhere"}, "want host:port"},
		{[]string{"--listen-tls-cert", "x"}, "need each other"},
		{[]string{"--listen-client-ca", "x"}, "needs --listen-tls-cert"},
		{[]string{"--auth-file", "x", "--without-authentication"}, "contradict"},
		{[]string{"--memory-budget", "-1"}, "--memory-budget is -1"},
	} {
		r := command(t, append([]string{"gateway"}, test.args...)...)
		if r.status != 2 || !strings.Contains(r.stderr, test.want) || r.stdout != "" {
			t.Errorf("%v: status %d, stderr %q, want %q", test.args, r.status, r.stderr, test.want)
		}
	}
	for _, id := range []string{"", "a.b", "a b"} {
		if r := command(t, "gateway", "key", "--id", id); r.status != 2 || r.stdout != "" {
			t.Errorf("key --id %q: status %d, %q", id, r.status, r.stdout)
		}
	}
}

// The key that the tool draws opens the gateway that the tool runs, and SIGTERM ends
// it well.
func TestGatewayServesTheCallerOfAKey(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	write(t, connect(t, node.Addr()), aggregate(1), "x")
	r := command(t, "gateway", "key", "--id", "k1")
	token := regexp.MustCompile(`(?m)^key:   (\S+)$`).FindStringSubmatch(r.stdout)
	entry := regexp.MustCompile(`(?m)^entry: (\{.*\})$`).FindStringSubmatch(r.stdout)
	if token == nil || entry == nil {
		t.Fatalf("the key: status %d, %q", r.status, r.stdout)
	}
	file := filepath.Join(t.TempDir(), "auth.json")
	if err := os.WriteFile(file, []byte(`{"callers":[{"name":"a","keys":[`+entry[1]+`],"read":["*"]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(binary, "gateway", "--address", node.Addr(), "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
		"--auth-file", file, "--drain-delay", "0s", "--drain-window", "0s", "--json")
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	var running struct {
		Listen     string `json:"listen"`
		HTTPListen string `json:"http_listen"`
	}
	if err := json.NewDecoder(stdout).Decode(&running); err != nil {
		t.Fatal(err)
	}
	gateway, err := client.Connect(running.Listen, client.Options{Token: client.FixedToken(token[1]), Plaintext: true})
	if err != nil {
		t.Fatal(err)
	}
	defer gateway.Close()
	key := aggregate(1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := gateway.Events().GetDetails(ctx, &pb.GetDetailsRequest{Key: &pb.Key{Org: key.Org[:], Type: key.Type[:], Aggregate: key.Aggregate[:]}})
	if err != nil || d.MaxVersion != 1 {
		t.Errorf("details %v, %v", d, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+running.HTTPListen+"/v1/details?key="+key.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	for _, want := range []int{http.StatusUnauthorized, http.StatusOK} {
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("the page answers %s, want %d", answer.Status, want)
		}
		request.Header.Set("Authorization", "Bearer "+token[1])
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}
