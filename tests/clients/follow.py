"""A cluster-aware client that works until its standard input ends, while slots move: follow.py HOST PORT."""

import sys
import threading

from redis.cluster import RedisCluster

r = RedisCluster(host=sys.argv[1], port=int(sys.argv[2]), decode_responses=True)
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()

count = 0
while not stop.is_set() or count < 2:
    count += 1
    for number in range(100):
        assert r.incr(f"python:{number}") == count, number
        assert r.rpush(f"python:list:{number}", count) == count, number
for number in range(100):
    assert r.lrange(f"python:list:{number}", 0, -1) == [str(i + 1) for i in range(count)], number
print("ok")
