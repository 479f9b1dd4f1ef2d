package redisstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// Tx collects what a handler writes to a read model in Redis; a script applies all of
// it together with the cursors, or nothing. The keys it takes are those of the model
// of the transaction's subscription: [Store.Key] gives their names in Redis.
//
// Reads see what the transaction wrote, otherwise what is stored. A value that was
// read must be the same when the transaction is committed: if somebody else changed
// it, nothing is applied and the handler is called again.
//
// A Tx belongs to one goroutine, and to the call that it was handed to.
type Tx struct {
	store *Store
	name  string

	writes []write
	// reads are values as they are stored; an empty text stands for none.
	reads map[place]string
	// wrote are the strings and fields that were written, and empty texts for those
	// that were removed; gone are the keys that were removed as a whole.
	wrote map[place]string
	gone  map[string]bool
	err   error
	ended bool
}

func (s *Store) newTx(name string) *Tx {
	return &Tx{store: s, name: name, reads: make(map[place]string), wrote: make(map[place]string), gone: make(map[string]bool)}
}

// place is a string, of which the field is empty, or a field of a hash.
type place struct{ key, field string }

type write struct{ command, key, a, b string }

// Key returns the name in Redis of a key of a subscription's read model, for those who
// read it.
func (s *Store) Key(subscription, key string) string { return s.tag(subscription) + "model:" + key }

var (
	errEmptyField = errors.New("redisstore: an empty field")
	errEmptyValue = errors.New("redisstore: an empty value")
	errTxEnded    = errors.New("redisstore: the transaction has ended")
	errNoInteger  = errors.New("the value is no integer")
	errOverflow   = errors.New("the sum does not fit 64 bits")
)

// Set writes a string, which must not be empty.
func (t *Tx) Set(key, value string) {
	t.must(value != "", errEmptyValue)
	t.write("SET", key, value, "")
	t.wrote[place{key, ""}] = value
}

// HSet writes a field of a hash; neither may be empty.
func (t *Tx) HSet(key, field, value string) {
	t.must(field != "", errEmptyField)
	t.must(value != "", errEmptyValue)
	t.write("HSET", key, field, value)
	t.wrote[place{key, field}] = value
}

// HDel removes a field of a hash.
func (t *Tx) HDel(key, field string) {
	t.must(field != "", errEmptyField)
	t.write("HDEL", key, field, "")
	t.wrote[place{key, field}] = ""
}

// SAdd adds a member to a set.
func (t *Tx) SAdd(key, member string) { t.write("SADD", key, member, "") }

// SRem removes a member from a set.
func (t *Tx) SRem(key, member string) { t.write("SREM", key, member, "") }

// ZAdd adds a member to a sorted set, or gives it another score, which must be a
// number.
func (t *Tx) ZAdd(key string, score float64, member string) {
	t.must(!math.IsNaN(score), errors.New("redisstore: a score that is no number"))
	t.write("ZADD", key, strconv.FormatFloat(score, 'g', -1, 64), member)
}

// ZRem removes a member from a sorted set.
func (t *Tx) ZRem(key, member string) { t.write("ZREM", key, member, "") }

// Del removes a key, whatever it holds. Keys are typed by what they hold when the
// transaction is committed: one that was removed takes no other type in the same
// transaction.
func (t *Tx) Del(key string) {
	t.write("DEL", key, "", "")
	t.gone[key] = true
	maps.DeleteFunc(t.wrote, func(p place, _ string) bool { return p.key == key })
}

// Get returns a string, and false if there is none.
func (t *Tx) Get(ctx context.Context, key string) (string, bool, error) {
	return t.read(ctx, place{key, ""}, func(name string) *redis.StringCmd { return t.store.client.Get(ctx, name) })
}

// HGet returns a field of a hash, and false if there is none.
func (t *Tx) HGet(ctx context.Context, key, field string) (string, bool, error) {
	t.must(field != "", errEmptyField)
	return t.read(ctx, place{key, field}, func(name string) *redis.StringCmd { return t.store.client.HGet(ctx, name, field) })
}

// IncrBy adds to a string that is a decimal number, 0 if there is none, and returns
// the sum.
func (t *Tx) IncrBy(ctx context.Context, key string, n int64) (int64, error) {
	text, there, err := t.Get(ctx, key)
	sum, err := add(text, there, n, err)
	if err == nil {
		t.Set(key, strconv.FormatInt(sum, 10))
	}
	return sum, err
}

// HIncrBy adds to a field of a hash that is a decimal number, 0 if there is none, and
// returns the sum.
func (t *Tx) HIncrBy(ctx context.Context, key, field string, n int64) (int64, error) {
	text, there, err := t.HGet(ctx, key, field)
	sum, err := add(text, there, n, err)
	if err == nil {
		t.HSet(key, field, strconv.FormatInt(sum, 10))
	}
	return sum, err
}

func add(text string, there bool, n int64, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	var value int64
	if there {
		if value, err = strconv.ParseInt(text, 10, 64); err != nil {
			return 0, fmt.Errorf("redisstore: adding to %q: %w", text, errNoInteger)
		}
	}
	sum := value + n
	if (sum > value) != (n > 0) && n != 0 {
		return 0, fmt.Errorf("redisstore: adding %d to %d: %w", n, value, errOverflow)
	}
	return sum, nil
}

// must notes the first error of a handler's.
func (t *Tx) must(holds bool, err error) {
	if !holds && t.err == nil {
		t.err = err
	}
}

func (t *Tx) write(command, key, a, b string) {
	t.must(!t.ended, errTxEnded)
	t.writes = append(t.writes, write{command, key, a, b})
}

func (t *Tx) read(ctx context.Context, p place, get func(name string) *redis.StringCmd) (string, bool, error) {
	if t.must(!t.ended, errTxEnded); t.err != nil {
		return "", false, t.err
	}
	text, known := t.wrote[p]
	if !known && t.gone[p.key] {
		return "", false, nil
	}
	if !known {
		text, known = t.reads[p]
	}
	if !known {
		var err error
		text, err = get(t.store.Key(t.name, p.key)).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return "", false, fmt.Errorf("redisstore: reading %q: %w", p.key, err)
		}
		t.reads[p] = text
	}
	return text, text != "", nil
}

// append appends the keys and arguments of the script.
func (t *Tx) append(keys []string, args []any) ([]string, []any) {
	places := make(map[string]int)
	number := func(key string) int {
		n, known := places[key]
		if !known {
			keys = append(keys, t.store.Key(t.name, key))
			n = len(keys)
			places[key] = n
		}
		return n
	}
	args = append(args, len(t.reads))
	for p, text := range t.reads {
		args = append(args, number(p.key), p.field, text)
	}
	args = append(args, len(t.writes))
	for _, w := range t.writes {
		args = append(args, w.command, number(w.key), w.a, w.b)
	}
	return keys, args
}
