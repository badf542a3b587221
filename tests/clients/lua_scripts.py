"""What clients do with Lua scripts: lua_scripts.py HOST PORT [2|3].

redis-py's Lock and registered scripts, and rate limiters as they are in use. Fails with an AssertionError at the first
reply that is not Redis's. The data set is emptied.
"""

import sys
import threading

import redis
from checks import equal, fails
from redis.exceptions import LockError, LockNotOwnedError, NoScriptError, ResponseError

host, port = sys.argv[1], int(sys.argv[2])
protocol = int(sys.argv[3]) if len(sys.argv) > 3 else 2


def connect():
    return redis.Redis(host=host, port=port, protocol=protocol, decode_responses=True)


r = connect()
equal(r.flushall(), True)
equal(r.script_flush(), True)

# Locks: acquire is SET NX, the rest are scripts called by their digests.
for number in range(20):
    lock = r.lock(f"lock:{number}", timeout=10, blocking_timeout=0)
    equal(lock.acquire(), True)
    equal(connect().lock(f"lock:{number}", timeout=10, blocking_timeout=0).acquire(), False)
    equal(lock.extend(5), True)
    equal(lock.reacquire(), True)
    equal(lock.owned(), True)
    equal(lock.release(), None)
    equal(lock.locked(), False)
    fails(LockError, lock.release)
lock = r.lock("taken", timeout=10)
lock.acquire()
r.set("taken", "another")
fails(LockNotOwnedError, lock.extend, 1)
fails(LockNotOwnedError, lock.release)

# Many take turns.
r.set("turns", 0)


def take_turns():
    own = connect()
    for _ in range(20):
        with own.lock("turn", timeout=30, sleep=0.002):
            value = int(own.get("turns"))
            own.set("turns", value + 1)


threads = [threading.Thread(target=take_turns) for _ in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
equal(r.get("turns"), "100")

# A fixed window, as in the documentation of INCR.
fixed_window = r.register_script(
    """
    local current = redis.call("incr", KEYS[1])
    if current == 1 then redis.call("expire", KEYS[1], ARGV[1]) end
    if current > tonumber(ARGV[2]) then return {0, redis.call("ttl", KEYS[1])} end
    return {1, tonumber(ARGV[2]) - current}
    """
)
for user in range(20):
    for left in (2, 1, 0):
        equal(fixed_window(keys=[f"window:{user}"], args=[60, 3]), [1, left])
    allowed, wait = fixed_window(keys=[f"window:{user}"], args=[60, 3])
    assert allowed == 0 and 55 <= wait <= 60, wait

# A sliding window over a sorted set.
sliding_window = r.register_script(
    """
    local now, span, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
    redis.call("ZREMRANGEBYSCORE", KEYS[1], 0, now - span)
    local count = redis.call("ZCARD", KEYS[1])
    if count < limit then
        redis.call("ZADD", KEYS[1], now, ARGV[4])
        redis.call("PEXPIRE", KEYS[1], span)
        return limit - count - 1
    end
    return -1
    """
)
for user in range(20):
    key = f"sliding:{user}"
    equal([sliding_window(keys=[key], args=[1000 + i, 100, 2, f"m{i}"]) for i in range(4)], [1, 0, -1, -1])
    equal(sliding_window(keys=[key], args=[1102, 100, 2, "later"]), 1)

# A token bucket: a hash with two fields, floating point, and the server's time.
token_bucket = r.register_script(
    """
    local rate, capacity, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
    local time = redis.call("TIME")
    local now = time[1] + time[2] / 1000000
    local state = redis.call("HMGET", KEYS[1], "tokens", "at")
    local tokens = tonumber(state[1]) or capacity
    local at = tonumber(state[2]) or now
    tokens = math.min(capacity, tokens + (now - at) * rate)
    local allowed = tokens >= wanted
    if allowed then tokens = tokens - wanted end
    redis.call("HSET", KEYS[1], "tokens", tokens, "at", tostring(now))
    redis.call("EXPIRE", KEYS[1], math.ceil(capacity / rate) * 2)
    return {allowed and 1 or 0, tostring(tokens)}
    """
)
for user in range(5):
    key = f"bucket:{user}"
    equal([token_bucket(keys=[key], args=[0.001, 3, 1])[0] for _ in range(5)], [1, 1, 1, 0, 0])
    assert 0 <= float(token_bucket(keys=[key], args=[0.001, 3, 1])[1]) < 1

# A session as JSON, and one as MessagePack.
session = r.register_script(
    """
    local text = redis.call("GET", KEYS[1])
    local session = text and cjson.decode(text) or {visits = 0, pages = {}}
    session.visits = session.visits + 1
    table.insert(session.pages, ARGV[1])
    redis.call("SETEX", KEYS[1], 60, cjson.encode(session))
    local packed = cmsgpack.unpack(cmsgpack.pack(session))
    return {packed.visits, #packed.pages, session.pages[#session.pages]}
    """
)
for visit in range(1, 4):
    equal(session(keys=["session:1"], args=[f"/page/{visit}"]), [visit, visit, f"/page/{visit}"])

# Errors, and scripts in pipelines.
fails(NoScriptError, r.evalsha, "f" * 40, 1, "key")
assert "user_script:1" in fails(ResponseError, r.eval, "return nosuch", 0)
equal(r.script_exists(session.sha, "f" * 40), [True, False])
with r.pipeline(transaction=False) as pipeline:
    for user in range(20, 30):
        fixed_window(keys=[f"window:{user}"], args=[60, 1], client=pipeline)
        pipeline.get(f"window:{user}")
    equal(pipeline.execute(), [[1, 0], "1"] * 10)
with r.pipeline(transaction=True) as pipeline:
    pipeline.set("{t}a", 1)
    fixed_window(keys=["{t}a"], args=[60, 5], client=pipeline)
    equal(pipeline.execute(), [True, [1, 3]])

equal(r.flushall(), True)
print("ok")
