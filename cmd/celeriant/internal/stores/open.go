package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"   // the driver "mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/bboltstore"
	"github.com/celeriant/celeriant-go/checkpoint/logstore"
	"github.com/celeriant/celeriant-go/checkpoint/natsstore"
	"github.com/celeriant/celeriant-go/checkpoint/redisstore"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/internal/platform"
	"github.com/celeriant/celeriant-go/pool"
)

// places are the kinds of stores that --checkpoint names, and what follows the colon.
var places = []struct{ kind, what string }{
	{"file", "FOLDER"}, {"sqlite", "FILE"}, {"postgres", "DSN"}, {"mysql", "DSN"}, {"bbolt", "FILE"},
	{"redis", "URL"}, {"nats", "URL"}, {"log", "HOST:PORT,…"},
}

// PlaceForms lists the places in the words of a help text or an error.
func PlaceForms() string {
	forms := make([]string, len(places))
	for i, p := range places {
		forms[i] = p.kind + ":" + p.what
	}
	return strings.Join(forms[:len(forms)-1], ", ") + " or " + forms[len(forms)-1]
}

// BindPlace adds the flag --checkpoint.
func BindPlace(c *cobra.Command, place *string) {
	c.Flags().StringVar(place, "checkpoint", "", "where positions are kept: "+PlaceForms())
	cli.FromEnvironment(c, "checkpoint")
	completePlace(c)
}

func completePlace(c *cobra.Command) {
	kinds := make([]string, len(places))
	for i, p := range places {
		kinds[i] = p.kind + ":"
	}
	cobra.CheckErr(c.RegisterFlagCompletionFunc("checkpoint",
		cobra.FixedCompletions(kinds, cobra.ShellCompDirectiveNoSpace|cobra.ShellCompDirectiveNoFileComp)))
}

// CheckPlace refuses what names no store, before anything is opened. A DSN can hold a
// password, so that the error shows the kind alone.
func CheckPlace(place string) error {
	kind, rest, _ := strings.Cut(place, ":")
	known := slices.ContainsFunc(places, func(p struct{ kind, what string }) bool { return p.kind == kind })
	switch {
	case !known:
		return cli.Usagef("--checkpoint is of the kind %q, want %s", cli.Shorten(kind, 40), PlaceForms())
	case rest == "":
		return cli.Usagef("--checkpoint names nothing behind %s:, want %s", kind, PlaceForms())
	}
	return nil
}

// OpenStore opens the store of a place that checkPlace let pass. Of nodes, those that a
// place of the kind log names are connected to as nodes says.
func OpenStore(ctx context.Context, place string, nodes pool.Options) (checkpoint.RecordStore, error) {
	kind, rest, _ := strings.Cut(place, ":")
	switch kind {
	case "sqlite":
		return openSQLite(ctx, rest)
	case "postgres":
		return openPostgres(ctx, rest)
	case "mysql":
		return openMySQL(ctx, rest)
	case "bbolt":
		return bboltstore.Open(ctx, rest, bboltstore.Options{})
	case "redis":
		return openRedis(ctx, rest)
	case "nats":
		return openNATS(ctx, rest)
	case "log":
		return openLog(ctx, rest, nodes)
	}
	return checkpoint.OpenFile(ctx, rest, checkpoint.FileOptions{})
}

// database is a store that closes its database, too.
type database struct {
	*sqlstore.Store
	db *sql.DB
}

func (d *database) Close() error { return errors.Join(d.Store.Close(), d.db.Close()) }

func openSQLite(ctx context.Context, path string) (*database, error) {
	// Transactions lock at their beginning; a save that returned survives a
	// power cut.
	query := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)"}}
	source, err := platform.SQLiteURI(path, query)
	if err != nil {
		return nil, err
	}
	return openDatabase(ctx, "sqlite", source, path, sqlstore.SQLite, sqlstore.Options{})
}

func openPostgres(ctx context.Context, dsn string) (*database, error) {
	return openDatabase(ctx, "pgx", dsn, "the PostgreSQL database", sqlstore.Postgres, sqlstore.Options{})
}

func openMySQL(ctx context.Context, dsn string) (*database, error) {
	return openDatabase(ctx, "mysql", dsn, "the MySQL database", sqlstore.MySQL, sqlstore.Options{
		Passing: func(err error) bool { return errors.Is(err, mysql.ErrInvalidConn) },
	})
}

func openDatabase(ctx context.Context, driver, source, what string, dialect sqlstore.Dialect, o sqlstore.Options) (*database, error) {
	db, err := sql.Open(driver, source)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", what, err)
	}
	store, err := sqlstore.Open(ctx, db, dialect, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", what, err), db.Close())
	}
	return &database{store, db}, nil
}

// cluster is a store in the event store that closes its connections, too.
type cluster struct {
	*logstore.Store
	client *pool.Pool
}

func (c *cluster) Close() error {
	// Nothing is in flight when the store is closed.
	return errors.Join(c.Store.Close(), c.client.Close(context.Background()))
}

func openLog(ctx context.Context, addresses string, nodes pool.Options) (*cluster, error) {
	all := strings.Split(addresses, ",")
	nodes.Address, nodes.SeedAddresses, nodes.RouteReadsToFollowers = all[0], all[1:], false
	client, err := pool.New(nodes)
	if err != nil {
		return nil, err
	}
	store, err := logstore.Open(ctx, client, logstore.Options{})
	if err != nil {
		return nil, errors.Join(err, client.Close(context.WithoutCancel(ctx)))
	}
	return &cluster{store, client}, nil
}

// broker is a store in JetStream that closes its connection, too.
type broker struct {
	*natsstore.Store
	conn *nats.Conn
}

func (b *broker) Close() error {
	err := b.Store.Close()
	b.conn.Close()
	return err
}

func openNATS(ctx context.Context, address string) (*broker, error) {
	conn, err := nats.Connect(address, nats.Name("celeriant"), nats.MaxReconnects(-1))
	var malformed *url.Error // shows the URL, and so a password
	if errors.As(err, &malformed) {
		return nil, cli.Usagef("--checkpoint: what follows nats: is no URL")
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	store, err := natsstore.Open(ctx, conn, natsstore.Options{})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &broker{store, conn}, nil
}

// keyValue is a store in Redis that closes its connections, too.
type keyValue struct {
	*redisstore.Store
	client redis.UniversalClient
}

func (k *keyValue) Close() error { return errors.Join(k.Store.Close(), k.client.Close()) }

// openRedis opens the store at a URL: redis://HOST:PORT/DATABASE, rediss:// for TLS, and
// with addr=HOST:PORT behind a question mark a cluster that has this node, too.
func openRedis(ctx context.Context, address string) (*keyValue, error) {
	var client redis.UniversalClient
	// Errors of the parsers show the URL, and so a password.
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, cli.Usagef("--checkpoint: what follows redis: is no URL")
	case u.Query().Has("addr"):
		o, err := redis.ParseClusterURL(address)
		if err != nil {
			return nil, cli.Usagef("--checkpoint: what follows redis: is no URL of a cluster")
		}
		client = redis.NewClusterClient(o)
	default:
		o, err := redis.ParseURL(address)
		if err != nil {
			return nil, cli.Usagef("--checkpoint: what follows redis: is no URL as redis://HOST:PORT/DATABASE")
		}
		client = redis.NewClient(o)
	}
	store, err := redisstore.Open(ctx, client, redisstore.Options{})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return &keyValue{store, client}, nil
}
