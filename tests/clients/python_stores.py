"""Rate limiters, sessions, locks, caches and channel layers: python_stores.py HOST PORT.

limits, Flask-Session, python-redis-lock, Django's cache and channels_redis. The data set is emptied.
"""

import asyncio
import sys
import threading

import flask
import flask_session
import limits
import redis
import redis_lock
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from checks import equal, fails, until
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter

import django
from django.conf import settings

host, port = sys.argv[1], int(sys.argv[2])
url = f"redis://{host}:{port}"
r = redis.Redis(host=host, port=port)
r.flushall()

# limits: each strategy lets as many through as it says, of everybody apart, also when they come at once.
storage = storage_from_string(url)
for strategy in FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter:
    limiter = strategy(storage)
    rate = limits.parse("5/hour")
    for user in range(10):
        equal([limiter.hit(rate, strategy.__name__, f"user{user}") for _ in range(7)], [True] * 5 + [False] * 2)
        equal(limiter.test(rate, strategy.__name__, f"user{user}"), False)
        equal(limiter.get_window_stats(rate, strategy.__name__, f"user{user}").remaining, 0)
    limiter.clear(rate, strategy.__name__, "user1")
    equal(limiter.get_window_stats(rate, strategy.__name__, "user1").remaining, 5)
    passed = []
    hits = [
        threading.Thread(target=lambda: passed.append(limiter.hit(rate, strategy.__name__, "crowd"))) for _ in range(12)
    ]
    [hit.start() for hit in hits]
    [hit.join() for hit in hits]
    equal(sorted(passed), [False] * 7 + [True] * 5)
assert storage.check() and storage.reset() > 0

# Flask-Session: what a browser's cookie names is kept by the server.
application = flask.Flask("shop")
application.config.update(SESSION_TYPE="redis", SESSION_REDIS=r, SESSION_PERMANENT=True)
flask_session.Session(application)


@application.route("/add/<thing>")
def add(thing):
    flask.session["things"] = flask.session.get("things", []) + [thing]
    return ",".join(flask.session["things"])


@application.route("/leave")
def leave():
    flask.session.clear()
    return "left"


visitors = [application.test_client() for _ in range(20)]
for number, visitor in enumerate(visitors):
    equal(visitor.get(f"/add/first{number}").text, f"first{number}")
for number, visitor in enumerate(visitors):
    equal(visitor.get("/add/second").text, f"first{number},second")
keys = r.keys("session:*")
equal(len(keys), 20)
assert all(r.ttl(key) > 86_400 for key in keys)
equal(visitors[0].get("/leave").text, "left")
equal((visitors[0].get("/add/anew").text, len(r.keys("session:*"))), ("anew", 20))

# python-redis-lock: who waits for a lock is woken by an element of a list, which is another key.
lock = redis_lock.Lock(r, "door", expire=60)
equal(lock.acquire(), True)
equal(redis_lock.Lock(r, "door", expire=60).acquire(blocking=False), False)
fails(redis_lock.NotAcquired, redis_lock.Lock(r, "door", expire=60).release)
lock.extend(120)
assert r.ttl("lock:door") > 60
order = []


def take_turn():
    with redis_lock.Lock(redis.Redis(host=host, port=port), "door", expire=60):
        order.append("in")
        order.append("out")


turns = [threading.Thread(target=take_turn) for _ in range(5)]
[turn.start() for turn in turns]
lock.release()
[turn.join() for turn in turns]
equal(order, ["in", "out"] * 5)
equal(redis_lock.Lock(r, "door").locked(), False)

# Django's cache. Many keys at once are one MULTI there.
cache = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}
settings.configure(CACHES={"default": cache}, INSTALLED_APPS=[])
django.setup()
from django.core.cache import cache

equal((cache.add("a", 1, 60), cache.add("a", 2, 60), cache.get("a"), cache.get("b", "none")), (True, False, 1, "none"))
equal(cache.set_many({f"key{number}": {"n": number} for number in range(50)}, 60), [])
equal(cache.get_many([f"key{number}" for number in range(60)]), {f"key{number}": {"n": number} for number in range(50)})
cache.set("count", 1)
equal((cache.incr("count", 4), cache.decr("count"), cache.touch("count", 60), cache.has_key("count")), (5, 4, True, True))
equal(cache.get_or_set("made", lambda: "once"), "once")
cache.delete_many(["key1", "key2"])
equal((cache.get("key1"), cache.delete("key3"), cache.delete("key3")), (None, True, False))


def until_heard(channels, clients):
    until("all are subscribed", lambda: [count for _, count in r.pubsub_numsub(*channels)] == clients)


# channels_redis over channels: groups whose members are in several processes.
async def layers():
    one, other = (RedisPubSubChannelLayer(hosts=[url]) for _ in range(2))
    names = [await one.new_channel(), await other.new_channel(), await other.new_channel()]
    for layer, name in zip((one, other, other), names):
        await layer.group_add("room", name)
    # group_add has only sent its SUBSCRIBE; as on one Redis, PUBLISH over another connection might come before it.
    until_heard([*names, "asgi__group__room"], [1, 1, 1, 2])
    await one.group_send("room", {"type": "chat", "text": "hello"})
    for layer, name in zip((one, other, other), names):
        equal(await asyncio.wait_for(layer.receive(name), 60), {"type": "chat", "text": "hello"})
    await other.group_discard("room", names[1])
    await one.group_send("room", {"type": "chat", "text": "again"})
    equal((await asyncio.wait_for(other.receive(names[2]), 60))["text"], "again")
    await one.send(names[1], {"type": "chat", "text": "to one"})
    equal((await asyncio.wait_for(other.receive(names[1]), 60))["text"], "to one")
    await one.flush()
    await other.flush()


asyncio.run(layers())


# The other layer of channels_redis keeps messages in sorted sets, several of them in one script.
async def kept_layers():
    one, other = (RedisChannelLayer(hosts=[url]) for _ in range(2))
    names = [await one.new_channel(), await other.new_channel(), await other.new_channel()]
    for layer, name in zip((one, other, other), names):
        await layer.group_add("room", name)
    await one.group_send("room", {"type": "chat", "text": "hello"})
    for layer, name in zip((one, other, other), names):
        equal(await asyncio.wait_for(layer.receive(name), 60), {"type": "chat", "text": "hello"})
    await other.group_discard("room", names[1])
    await one.group_send("room", {"type": "chat", "text": "again"})
    equal((await asyncio.wait_for(other.receive(names[2]), 60))["text"], "again")
    # What is sent before somebody waits is kept.
    await one.send("kept", {"type": "chat", "text": "later"})
    equal((await asyncio.wait_for(other.receive("kept"), 60))["text"], "later")
    await one.flush()
    await one.close_pools()
    await other.close_pools()


asyncio.run(kept_layers())
cache.clear()
equal(r.dbsize(), 0)
print("ok")
