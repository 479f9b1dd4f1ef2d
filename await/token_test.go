package await_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/await"
)

func TestTokens(t *testing.T) {
	token := await.Token{{Key: keyOf(1), Version: 7}, {Key: keyOf(2), Version: 1<<63 - 1}}
	got, err := await.ParseToken(token.String())
	if err != nil || !slices.Equal(got, token) {
		t.Errorf("%q became %v, %v", token, got, err)
	}
	if got, err := await.ParseToken(""); err != nil || len(got) != 0 {
		t.Errorf("the empty one became %v, %v", got, err)
	}
	one := token[:1].String()
	for _, bad := range []string{
		"x", "@1", one + ",", one + ",x", strings.TrimSuffix(one, "7"), one + "x", strings.Replace(one, "@7", "@9223372036854775808", 1),
		strings.Replace(one, "@7", "@-1", 1), strings.Repeat(one+",", 64) + one, strings.Repeat("a", 20_000),
	} {
		var refused *await.TokenError
		if got, err := await.ParseToken(bad); !errors.As(err, &refused) || got != nil {
			t.Errorf("%.80q became %v, %v", bad, got, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(await.Token{{Key: keyOf(1), Version: 7}}.String())
	f.Fuzz(func(t *testing.T, text string) {
		token, err := await.ParseToken(text)
		if err != nil {
			return
		}
		again, err := await.ParseToken(token.String())
		if err != nil || !slices.Equal(again, token) {
			t.Errorf("%q became %v, then %v, %v", text, token, again, err)
		}
	})
}

func TestAwaitToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.handled(1, 2)
		ended := make(chan error, 1)
		go func() {
			ended <- await.New(w, w).AwaitToken(t.Context(), "orders", await.Token{{Key: keyOf(1), Version: 2}, {Key: keyOf(2), Version: 1}})
		}()
		time.Sleep(5 * time.Second)
		select {
		case err := <-ended:
			t.Errorf("ended with %v", err)
		default:
		}
		w.handled(2, 1)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
