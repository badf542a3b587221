"""The commands of the usual tutorials with redis-py, as on one Redis: tutorial.py HOST PORT [2|3].

Fails with an AssertionError at the first reply that is not Redis's. The data set is emptied.
"""

import sys
import threading
import time

import redis
from checks import equal

host, port = sys.argv[1], int(sys.argv[2])
protocol = int(sys.argv[3]) if len(sys.argv) > 3 else 2


def connect(**options):
    return redis.Redis(host=host, port=port, protocol=protocol, decode_responses=True, **options)


r = connect()
equal(r.ping(), True)
equal(r.flushall(), True)

# Strings
equal(r.set("name", "ada"), True)
equal(r.get("name"), "ada")
equal(r.get("nobody"), None)
equal(r.set("name", "bob", nx=True), None)
equal(r.set("name", "bob", xx=True, get=True), "ada")
equal(r.mset({f"k{i}": str(i) for i in range(100)}), True)
equal(r.mget([f"k{i}" for i in range(100)]), [str(i) for i in range(100)])
equal(r.exists("name", "k1", "k2", "nobody"), 3)
equal(r.delete("k1", "k2", "nobody"), 2)
equal(sorted(r.keys("k1*")), sorted([f"k{i}" for i in range(10, 20)]))
equal(r.incr("counter"), 1)
equal(r.incrby("counter", 41), 42)
equal(r.append("name", "!"), 4)
equal(r.strlen("name"), 4)

# Expiry
equal(r.setex("session", 100, "x"), True)
assert 0 < r.ttl("session") <= 100
equal(r.expire("name", 50), True)
assert 0 < r.ttl("name") <= 50
equal(r.persist("name"), True)
equal(r.ttl("name"), -1)
equal(r.ttl("nobody"), -2)
equal(r.set("soon", "gone", px=30), True)
deadline = time.monotonic() + 30
while r.exists("soon"):
    assert time.monotonic() < deadline, "the key does not expire"
    time.sleep(0.01)

# Lists
equal(r.rpush("list", "b", "c"), 2)
equal(r.lpush("list", "a"), 3)
equal(r.lrange("list", 0, -1), ["a", "b", "c"])
equal(r.lpop("list"), "a")
equal(r.rpop("list"), "c")
equal(r.llen("list"), 1)

# Sets
equal(r.sadd("set", "x", "y", "z", "x"), 3)
equal(r.smembers("set"), {"x", "y", "z"})
equal(r.srem("set", "x", "nobody"), 1)
equal(bool(r.sismember("set", "y")), True)
equal(r.scard("set"), 2)

# Hashes
equal(r.hset("hash", mapping={"a": "1", "b": "2"}), 2)
equal(r.hget("hash", "a"), "1")
equal(r.hgetall("hash"), {"a": "1", "b": "2"})
equal(r.hexists("hash", "b"), True)
equal(r.hdel("hash", "a", "nobody"), 1)
equal(r.hexists("hash", "a"), False)

# Sorted sets
equal(r.zadd("board", {"ada": 3, "bob": 1, "eve": 2}), 3)
equal(r.zrange("board", 0, -1), ["bob", "eve", "ada"])
with_scores = [tuple(pair) for pair in r.zrange("board", 0, -1, desc=True, withscores=True)]
equal(with_scores, [("ada", 3.0), ("eve", 2.0), ("bob", 1.0)])
equal(r.zscore("board", "eve"), 2.0)
equal(r.zrank("board", "ada"), 2)

# Errors are Redis's
try:
    r.lpush("name", "x")
    raise AssertionError("a list command on a string succeeds")
except redis.ResponseError as error:
    assert "WRONGTYPE" in str(error) or "wrong kind of value" in str(error), error

# Iteration
for i in range(500):
    r.set(f"scan:{i}", i)
equal(sorted(r.scan_iter("scan:*", count=50)), sorted(f"scan:{i}" for i in range(500)))

# Pipelines without transactions
pipeline = r.pipeline(transaction=False)
for i in range(1000):
    pipeline.set(f"pipe:{i}", i)
    pipeline.get(f"pipe:{i}")
replies = pipeline.execute()
equal(replies[1::2], [str(i) for i in range(1000)])

# Databases
other = connect(db=5)
equal(other.get("name"), None)
equal(other.set("name", "five"), True)
equal(r.get("name"), "bob!")
equal(other.flushdb(), True)
equal(other.dbsize(), 0)
assert r.dbsize() > 1500

# Server
info = r.info()
for field in ["redis_version", "used_memory", "connected_clients", "db0"]:
    assert field in info, f"INFO has no {field}"
equal(info["redis_version"], "7.0.15")
assert r.memory_stats()["keys.count"] > 1500
r.slowlog_reset()
assert r.slowlog_len() >= 0
equal(r.config_set("slowlog-log-slower-than", 0), True)
r.get("name")
equal(r.config_set("slowlog-log-slower-than", 10000), True)
assert any("GET" in str(entry["command"]) for entry in r.slowlog_get(128)), "SLOWLOG does not show the GET"
equal(r.config_set("maxmemory", "200mb"), True)
equal(r.config_get("maxmemory"), {"maxmemory": str(200 * 1024 * 1024)})
equal(r.config_set("maxmemory", 0), True)
equal(r.client_setname("tutorial"), True)
equal(r.client_getname(), "tutorial")
assert any(client["name"] == "tutorial" for client in r.client_list())

# MONITOR
seen = []
ready = threading.Event()


def watch():
    with connect().monitor() as monitor:
        ready.set()
        for command in monitor.listen():
            seen.append(command["command"])
            if "monitored:last" in command["command"]:
                return


watcher = threading.Thread(target=watch, daemon=True)
watcher.start()
assert ready.wait(30)
r.set("monitored", "1")
deadline = time.monotonic() + 30
while watcher.is_alive():
    assert time.monotonic() < deadline, f"MONITOR showed only {seen}"
    r.set("monitored:last", "1")
    time.sleep(0.02)
assert any("SET monitored 1" in command for command in seen), seen

# Channels and patterns
listener = r.pubsub()
listener.subscribe("news", "weather")
listener.psubscribe("n*")


def next_of(pubsub):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        message = pubsub.get_message(timeout=1)
        if message is not None:
            return message["type"], message["channel"], message["data"]
    raise AssertionError("no message")


equal([next_of(listener) for _ in range(3)], [("subscribe", "news", 1), ("subscribe", "weather", 2), ("psubscribe", "n*", 3)])
equal(r.publish("news", "hello"), 2)
equal(sorted(next_of(listener) for _ in range(2)), [("message", "news", "hello"), ("pmessage", "news", "hello")])
equal(r.pubsub_numsub("news", "nobody"), [("news", 1), ("nobody", 0)])
equal(sorted(r.pubsub_channels()), ["news", "weather"])
equal(r.pubsub_numpat(), 1)
listener.unsubscribe("weather")
equal(next_of(listener), ("unsubscribe", "weather", 2))
equal(r.publish("weather", "rain"), 0)
# As Celery stores a result and tells of it.
with r.pipeline(transaction=True) as pipeline:
    pipeline.setex("news", 60, "stored").publish("news", "stored").publish("other", "x")
    equal(pipeline.execute(), [True, 2, 0])
equal(sorted(next_of(listener) for _ in range(2)), [("message", "news", "stored"), ("pmessage", "news", "stored")])
listener.close()
deadline = time.monotonic() + 30
while r.publish("news", "nobody"):
    assert time.monotonic() < deadline, "the subscriptions do not end with their connection"
    time.sleep(0.02)
equal(r.delete("news"), 1)

# Passwords
equal(r.config_set("requirepass", "secret"), True)
try:
    try:
        connect().get("name")
        raise AssertionError("no password is asked for")
    except redis.AuthenticationError:
        pass
    try:
        connect(password="wrong").get("name")
        raise AssertionError("a wrong password is taken")
    except redis.AuthenticationError:
        pass
    equal(connect(password="secret").get("name"), "bob!")
finally:
    equal(connect(password="secret").config_set("requirepass", ""), True)
equal(connect().get("name"), "bob!")

equal(r.flushall(), True)
equal(r.dbsize(), 0)
print("ok")
