"""What applications do with redis-py: redis_py_idioms.py HOST PORT [2|3].

Transactions that are tried again, messages in a thread, consumer groups, queues, scripts and the asyncio client. The data
set is emptied.
"""

import asyncio
import sys
import threading

import redis
import redis.asyncio
from checks import equal, fails, until
from redis.exceptions import ExecAbortError, NoScriptError, ResponseError, WatchError

host, port = sys.argv[1], int(sys.argv[2])
protocol = int(sys.argv[3]) if len(sys.argv) > 3 else 2
options = {"host": host, "port": port, "protocol": protocol, "decode_responses": True}
r = redis.Redis(**options)
r.flushall()
tags = [f"{{tag{number}}}" for number in range(12)]


def pairs(found):
    """Streams or members with scores, which are lists of lists in one protocol and maps or tuples in the other."""
    return [tuple(pair) for pair in (found.items() if isinstance(found, dict) else found)]


# Transactions: all or nothing, on many slots one after the other.
for tag in tags:
    with r.pipeline() as pipeline:
        pipeline.set(f"{tag}name", "ada").incr(f"{tag}count").rpush(f"{tag}list", 1, 2).lrange(f"{tag}list", 0, -1)
        equal(pipeline.execute(), [True, 1, 2, ["1", "2"]])
    with r.pipeline() as pipeline:
        pipeline.incr(f"{tag}count").lpush(f"{tag}name", "x").incr(f"{tag}count")
        failed, = [reply for reply in pipeline.execute(raise_on_error=False) if isinstance(reply, ResponseError)]
        assert "WRONGTYPE" in str(failed), failed
    equal(r.get(f"{tag}count"), "3")
    with r.pipeline() as pipeline:
        pipeline.set(f"{tag}name", "bob").execute_command("NOSUCH")
        assert "unknown command" in fails(ResponseError, pipeline.execute)
    equal(r.get(f"{tag}name"), "ada")

# WATCH: what changes in between is noticed, and `transaction` tries again.
with r.pipeline() as pipeline:
    pipeline.watch("{tag1}count")
    equal(pipeline.get("{tag1}count"), "3")
    r.set("{tag1}count", 10)
    pipeline.multi()
    pipeline.set("{tag1}count", 4)
    fails(WatchError, pipeline.execute)
    equal(r.get("{tag1}count"), "10")
    pipeline.watch("{tag1}count")
    pipeline.unwatch()
    r.incr("{tag1}count")
    pipeline.multi()
    equal(pipeline.get("{tag1}count").execute(), ["11"])


def add_one(pipeline):
    value = int(pipeline.get("{tag2}sum") or 0)
    pipeline.multi()
    pipeline.set("{tag2}sum", value + 1)


def add_many():
    own = redis.Redis(**options)
    for _ in range(20):
        own.transaction(add_one, "{tag2}sum")


threads = [threading.Thread(target=add_many) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
equal(r.get("{tag2}sum"), "80")

# Registered scripts: within transactions too, and when the server has forgotten them.
double = r.register_script("return redis.call('INCRBY', KEYS[1], redis.call('GET', KEYS[1]))")
for tag in tags:
    r.set(f"{tag}n", 21)
    equal(double(keys=[f"{tag}n"]), 42)
    with r.pipeline() as pipeline:
        double(keys=[f"{tag}n"], client=pipeline)
        pipeline.get(f"{tag}n")
        equal(pipeline.execute(), [84, "84"])
once = "return {KEYS[1], 'once'}"
digest = __import__("hashlib").sha1(once.encode()).hexdigest()
equal(r.eval(once, 1, "{tag0}x"), ["{tag0}x", "once"])
for tag in tags:
    with r.pipeline() as pipeline:
        equal(pipeline.evalsha(digest, 1, f"{tag}x").set(f"{tag}n", 1).execute(), [[f"{tag}x", "once"], True])
r.script_flush()
fails(NoScriptError, r.evalsha, double.sha, 1, "{tag3}n")
with r.pipeline() as pipeline:
    pipeline.set("{tag3}n", 2).evalsha(double.sha, 1, "{tag3}n").incr("{tag3}n")
    replies = pipeline.execute(raise_on_error=False)
    equal((replies[0], type(replies[1]), replies[2]), (True, NoScriptError, 3))
equal(double(keys=["{tag3}n"]), 6)

# Messages in a thread, with handlers.
heard = []
pubsub = r.pubsub(ignore_subscribe_messages=True)
pubsub.subscribe(**{f"news:{number}": lambda message: heard.append(message["data"]) for number in range(10)})
pubsub.psubscribe(**{"alerts:*": lambda message: heard.append(message["channel"])})
listener = pubsub.run_in_thread(sleep_time=0.05, daemon=True)
until("all are subscribed", lambda: r.pubsub_numpat() == 1 and len(r.pubsub_channels("news:*")) == 10)
for number in range(10):
    equal(r.publish(f"news:{number}", f"n{number}"), 1)
    equal(r.publish(f"alerts:{number}", "x"), 1)
until("all is heard", lambda: len(heard) == 20)
equal(sorted(heard), sorted([f"n{n}" for n in range(10)] + [f"alerts:{n}" for n in range(10)]))
listener.stop()
listener.join()

# A stream that two consumers of a group read; what one leaves the other claims.
equal(r.xgroup_create("events", "workers", id="0", mkstream=True), True)
ids = [r.xadd("events", {"number": number}) for number in range(10)]
(_, first), = pairs(r.xreadgroup("workers", "one", {"events": ">"}, count=4))
(_, second), = pairs(r.xreadgroup("workers", "two", {"events": ">"}, count=100))
unnested = lambda entries: [identity for identity, _ in (entries[0] if isinstance(entries[0][0], list | tuple) else entries)]
equal(unnested(first) + unnested(second), ids)
equal(r.xack("events", "workers", *unnested(second)), 6)
equal(r.xpending("events", "workers")["pending"], 4)
equal([entry["consumer"] for entry in r.xpending_range("events", "workers", "-", "+", 10)], ["one"] * 4)
claimed = r.xautoclaim("events", "workers", "two", min_idle_time=0, start_id="0-0")
equal([identity for identity, _ in claimed[1]], ids[:4])
equal(r.xack("events", "workers", *ids[:4]), 4)
equal(r.xinfo_groups("events")[0]["pending"], 0)
equal(r.xinfo_stream("events")["length"], 10)
arrived = []
waiting = threading.Thread(
    target=lambda: arrived.append(redis.Redis(**options).xreadgroup("workers", "one", {"events": ">"}, block=60_000))
)
waiting.start()
until("the consumer waits", lambda: r.info("clients")["blocked_clients"] == 1)
last = r.xadd("events", {"number": "last"})
waiting.join()
equal(unnested(pairs(arrived[0])[0][1]), [last])

# Queues: waiting for several, moving to another, and going without anything after some time.
served = []


def take(*keys):
    served.append(redis.Redis(**options).blpop(keys, timeout=60))


for tag in tags[:4]:
    waiting = threading.Thread(target=take, args=("nothing", f"{tag}queue"))
    waiting.start()
    until("somebody waits", lambda: r.info("clients")["blocked_clients"] == 1)
    r.rpush(f"{tag}queue", "job")
    waiting.join()
equal([tuple(found) for found in served], [(f"{tag}queue", "job") for tag in tags[:4]])
equal(r.blpop(["nothing", "nothing more"], timeout=0.05), None)
r.rpush("{tag1}from", "a", "b")
equal(r.blmove("{tag1}from", "{tag1}to", 1, "LEFT", "RIGHT"), "a")
equal(r.brpoplpush("{tag1}from", "{tag1}to", 1), "b")
r.zadd("board", {"low": 1, "high": 2})
equal(list(r.bzpopmin("board", 1))[:2], ["board", "low"])
equal(r.blmpop(1, 2, "nothing", "{tag1}to", direction="LEFT", count=5), ["{tag1}to", ["b", "a"]])


# The asyncio client: a pool of connections, pipelines, messages, waiting.
async def concurrently():
    pool = redis.asyncio.Redis(**options)
    counts = await asyncio.gather(*(pool.incr(f"async:{number % 7}") for number in range(70)))
    equal(sorted(counts), [1 + number // 7 for number in range(70)])
    async with pool.pipeline(transaction=True) as pipeline:
        equal(await pipeline.set("{a}x", 1).incr("{a}x").execute(), [True, 2])
    async with pool.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe("async")
        await asyncio.sleep(0)
        while await pool.publish("async", "hello") == 0:
            pass
        while (message := await channel.get_message(timeout=60)) is None:
            pass
        equal(message["data"], "hello")
    waiter = asyncio.create_task(pool.blpop("async:list", timeout=60))
    while (await pool.info("clients"))["blocked_clients"] == 0:
        pass
    await pool.rpush("async:list", "v")
    equal(list(await waiter), ["async:list", "v"])
    async with pool.lock("async:lock", timeout=10):
        equal(await pool.lock("async:lock", timeout=10, blocking=False).acquire(), False)
    equal(await pool.exists("async:lock"), 0)
    await pool.aclose()


asyncio.run(concurrently())

# The types of each protocol
r.hset("hash", mapping={"a": 1})
equal(r.execute_command("HGETALL", "hash"), {"a": "1"})
equal(r.zscore("board", "high"), 2.0)
equal(r.eval("return {true, false, 3.9, 'text'}", 0), [1, None, 3, "text"])
equal(r.config_get("maxmemory-policy"), {"maxmemory-policy": "noeviction"})
if protocol == 3:
    equal(r.eval("redis.setresp(3) return redis.call('HGETALL', KEYS[1])", 1, "hash"), {"a": "1"})
    equal(r.eval("return {double=2.5}", 0), 2.5)

r.flushall()
print("ok")
