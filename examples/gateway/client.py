"""Counts events by aggregate in SQLite, each exactly once: client.py GATEWAY DATABASE ORGANISATION TYPE"""
import queue, sqlite3, sys, threading, time, uuid
import grpc
from celeriant.gateway.v1 import subscriptions_pb2 as pb, subscriptions_pb2_grpc as services, types_pb2 as types

address, database, org, kind = sys.argv[1:5]
db = sqlite3.connect(database, isolation_level=None, timeout=30)  # transactions are explicit
db.execute("CREATE TABLE IF NOT EXISTS counts (aggregate BLOB PRIMARY KEY, events INTEGER NOT NULL)")
db.execute("CREATE TABLE IF NOT EXISTS positions (key BLOB PRIMARY KEY, cursor BLOB NOT NULL)")

class Superseded(Exception): """Another process has moved a position: its effects stand, not ours."""
def key_of(k): return k.org + k.type + k.aggregate
def stored(key): return (db.execute("SELECT cursor FROM positions WHERE key = ?", (key_of(key),)).fetchone() or [b""])[0]

def apply(change):
    kind, aggregate = change.WhichOneof("kind"), change.key.aggregate
    if kind == "batch":
        db.execute("INSERT INTO counts VALUES (?1, ?2) ON CONFLICT DO UPDATE SET events = events + ?2", (aggregate, len(change.batch.events)))
    elif kind in ("deleted", "reset"):
        db.execute("DELETE FROM counts WHERE aggregate = ?", (aggregate,))
    elif kind not in ("truncated", "unreadable", "caught_up", "started"):
        sys.exit("the gateway is newer than this client: " + str(kind))
    if change.cursor:  # compare and set: the effect counts only where the position still is what it was
        moved = (db.execute("UPDATE positions SET cursor = ? WHERE key = ? AND cursor = ?", (change.cursor, key_of(change.key), change.previous))
            if change.previous else db.execute("INSERT OR IGNORE INTO positions VALUES (?, ?)", (key_of(change.key), change.cursor)))
        if moved.rowcount != 1: raise Superseded()

def receive(call, inbox):  # in a thread of its own, so that look-ups do not wait for transactions
    try:
        for message in call: inbox.put(message)
    except grpc.RpcError as error: inbox.put(error)

def subscribe(channel):
    requests, inbox, parts = queue.SimpleQueue(), queue.Queue(), b""
    scope = types.Scope(types=[types.Scope.TypeOfOrg(org=uuid.UUID(org).bytes, type=uuid.UUID(kind).bytes)])
    requests.put(pb.SubscribeRequest(open=pb.Open(scope=scope, client_held=pb.ClientHeld(), required_features=["client-held"])))
    call = services.SubscriptionServiceStub(channel).Subscribe(iter(requests.get, None))
    threading.Thread(target=receive, args=(call, inbox), daemon=True).start()
    while True:
        message = inbox.get(timeout=14)  # the gateway sends something each 5 s
        if isinstance(message, Exception): raise message
        if message.HasField("look_up"):
            requests.put(pb.SubscribeRequest(cursors=pb.Cursors(look_up=message.look_up.id, cursors=[stored(k) for k in message.look_up.keys])))
        changes, first = message.changes.changes, message.changes.first_delivery
        if changes and changes[0].HasField("part"):  # a batch that fits no message
            parts += changes[0].part.data
            if not changes[0].part.last: continue
            changes[0].batch.CopyFrom(types.Batch.FromString(parts)); parts = b""
        if changes:
            with db:  # commits, or rolls back
                db.execute("BEGIN IMMEDIATE")
                for change in changes: apply(change)
            requests.put(pb.SubscribeRequest(handled=pb.Handled(deliveries=[pb.Range(first=first, last=first + len(changes) - 1)])))

while True:
    try:
        with grpc.insecure_channel(address) as channel: subscribe(channel)
    except (grpc.RpcError, queue.Empty, Superseded) as cause:
        print("again:", repr(cause)[:200], file=sys.stderr, flush=True)
    time.sleep(0.5)
