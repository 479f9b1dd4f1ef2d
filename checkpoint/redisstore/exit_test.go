package redisstore_test

import (
	"fmt"
	"os"
)

// cleanUp ends the server that tests share, if one was started.
var cleanUp = func() error { return nil }

func exit(code int) {
	if err := cleanUp(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}
