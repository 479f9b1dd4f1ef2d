//go:build !linux

package dbtest

import "syscall"

// serverAccount returns how to start the server: as whoever runs the test.
func serverAccount(string, syscall.Signal) (*syscall.SysProcAttr, error) { return nil, nil }
