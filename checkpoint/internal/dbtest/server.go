package dbtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// serveUntilReady starts the server and returns once its log says ready. The stop
// function ends it and waits for its end.
func serveUntilReady(serve *exec.Cmd, ready string, end syscall.Signal) (stop func() error, err error) {
	log, err := serve.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := serve.Start(); err != nil {
		return nil, err
	}
	up := make(chan struct{})
	ended := make(chan error, 1)
	var said strings.Builder
	go func() {
		lines, announced := bufio.NewScanner(log), false
		for lines.Scan() {
			if announced {
				continue
			}
			said.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), ready) {
				announced = true
				close(up)
			}
		}
		_, _ = io.Copy(io.Discard, log)
		ended <- serve.Wait()
	}()
	stop = func() error {
		// Fast shutdown: sessions are ended, nothing is lost.
		if err := serve.Process.Signal(end); err != nil {
			return err
		}
		select {
		case err := <-ended:
			return err
		case <-time.After(20 * time.Second):
			_ = serve.Process.Kill()
			return errors.Join(errors.New("it did not stop and was killed"), <-ended)
		}
	}
	select {
	case <-up:
		return stop, nil
	case err := <-ended:
		return nil, fmt.Errorf("it ended: %w\n%s", err, said.String())
	case <-time.After(60 * time.Second):
		return nil, errors.Join(errors.New("it is not ready after 60 s"), stop())
	}
}
