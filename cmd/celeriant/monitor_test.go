package main_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
)

// ask reads a page of a command that runs; a body is asked for until it holds a text.
func ask(t *testing.T, url, holds string) {
	t.Helper()
	body, until := "", time.Now().Add(patience)
	for time.Now().Before(until) {
		answer, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close() // read to its end
		if err != nil {
			t.Fatal(err)
		}
		if body = string(text); answer.StatusCode == http.StatusOK && strings.Contains(body, holds) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s never holds %q: %s", url, holds, body)
}

// Every command that goes on running serves its status page, health checks and metrics by the
// same flag, and ends well with them.
func TestEveryLongRunningCommandShowsItsStatus(t *testing.T) {
	t.Parallel() // it waits more than it works
	node := celerianttest.Run(t, celerianttest.Options{})
	writeOrders(t, connect(t, node.Addr()), 3, 0, 2)
	service := newOutside(t)
	scope := []string{"--org", "1", "--type", "2"}
	for _, test := range []struct {
		command string
		args    []string
		says    string // on the page
		metric  string
		ready   string
	}{
		{
			"forward", append(scope, "--to", service.url, "--checkpoint", "sqlite:"+filepath.Join(t.TempDir(), "forward.db"), "--name", "orders"),
			"all handled", `messaging_client_consumed_messages_total{messaging_consumer_group_name="orders",messaging_operation_name="process",messaging_system="celeriant"} 6`,
			"ready: 1 consumer",
		},
		{
			"watch", append(scope, "--checkpoint", "file:"+filepath.Join(t.TempDir(), "watch"), "--name", "orders"),
			"all handled", `celeriant_subscription_state_ratio{celeriant_phase="live",messaging_consumer_group_name="orders"} 1`,
			"ready: 1 consumer",
		},
		{
			"gateway", []string{"--listen", "127.0.0.1:0", "--drain-delay", "0s", "--drain-window", "0s"},
			"No consumer is running in this process", `db_client_connection_count{`, "ready",
		},
	} {
		t.Run(test.command, func(t *testing.T) {
			c := exec.Command(binary, append([]string{test.command, "--address", node.Addr(), "--status-listen", "127.0.0.1:0", "--json"}, test.args...)...)
			tells := c.StderrPipe
			if test.command == "gateway" {
				tells = c.StdoutPipe
			}
			lines, err := tells()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Process.Kill() }() // it has ended where the test passed
			var listening struct {
				Status string `json:"status_listen"`
			}
			said := bufio.NewReader(lines)
			first, err := said.ReadBytes('\n')
			if err != nil || json.Unmarshal(first, &listening) != nil || listening.Status == "" {
				t.Fatalf("the first line is %q, %v", first, err)
			}
			read := make(chan struct{})
			go func() {
				defer close(read)
				_, _ = io.Copy(io.Discard, said) // so that the command is not held up
			}()
			url := "http://" + listening.Status
			ask(t, url+"/", test.says)
			ask(t, url+"/status.json", test.says)
			ask(t, url+"/metrics", test.metric)
			ask(t, url+"/healthz", "ok")
			ask(t, url+"/readyz", test.ready)
			if r := command(t, "status", "--url", url); r.status != 0 || !strings.Contains(r.stdout, test.says) {
				t.Errorf("celeriant status: %d, %q", r.status, r.stdout)
			}
			if err := c.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			<-read
			if err := c.Wait(); err != nil {
				t.Errorf("after SIGTERM: %v", err)
			}
		})
	}
	for _, name := range []string{"forward", "watch", "gateway"} {
		if r := command(t, name, "--status-listen", "nowhere"); r.status != 2 {
			t.Errorf("%s --status-listen nowhere: status %d, %q", name, r.status, r.stderr)
		}
	}
}
