"""redis-py's cache of what it has read: python_caches.py HOST PORT. The data set is emptied."""

import sys

import redis
from checks import equal, until
from redis.cache import CacheConfig
from redis.connection import CacheProxyConnection

# It asks for a later Redis; what it uses of it is the same in 7.0.
CacheProxyConnection.MIN_ALLOWED_VERSION = "7.0.0"

host, port = sys.argv[1], int(sys.argv[2])
cached = redis.Redis(host, port, protocol=3, decode_responses=True, cache_config=CacheConfig())
writer = redis.Redis(host, port, decode_responses=True)
keys = [f"cached:{number}" for number in range(100)]


def reads():
    return writer.info("commandstats").get("cmdstat_get", {}).get("calls", 0)


writer.flushall()
for value in ["first", "second", "third"]:
    for key in keys:
        writer.set(key, value)
    for key in keys:
        until(f"{key} is {value}", lambda: cached.get(key) == value)
    # What it has is not asked for again.
    before = reads()
    equal([cached.get(key) for key in keys], [value] * len(keys))
    equal(reads(), before)
writer.delete(keys[0])
until("a key is gone", lambda: cached.get(keys[0]) is None)
writer.flushall()
until("all keys are gone", lambda: all(cached.get(key) is None for key in keys))
print("ok")
