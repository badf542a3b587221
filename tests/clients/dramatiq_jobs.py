"""Dramatiq's jobs: dramatiq_jobs.py HOST PORT.

Workers, results, retries, delays, groups and pipelines. The data set is emptied.
"""

import sys
import threading

import dramatiq
import redis
from checks import equal, until
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

host, port = sys.argv[1], int(sys.argv[2])
r = redis.Redis(host=host, port=port)
r.flushall()

# Every operation of the broker is one script on several keys.
broker = RedisBroker(host=host, port=port)
broker.add_middleware(Results(backend=RedisBackend(host=host, port=port)))
dramatiq.set_broker(broker)

attempts = []
done = threading.Event()


@dramatiq.actor(store_results=True)
def add(a, b):
    return a + b


@dramatiq.actor(max_retries=3, min_backoff=10, max_backoff=20)
def flaky():
    attempts.append(1)
    if len(attempts) < 3:
        raise ValueError("not yet")
    done.set()


@dramatiq.actor(queue_name="other", max_retries=0)
def fail():
    raise ValueError("never")


# What is sent before there is a worker waits for it.
messages = [add.send(number, 1) for number in range(50)]
worker = dramatiq.Worker(broker, worker_timeout=100, worker_threads=4)
worker.start()
equal([message.get_result(block=True, timeout=60_000) for message in messages], [number + 1 for number in range(50)])

flaky.send()
assert done.wait(60), "a job that fails is tried again"
equal(len(attempts), 3)

equal(add.send_with_options(args=(1, 2), delay=200).get_result(block=True, timeout=60_000), 3)

group = dramatiq.group([add.message(number, number) for number in range(10)]).run()
equal(list(group.get_results(block=True, timeout=60_000)), [2 * number for number in range(10)])
chain = (add.message(1, 2) | add.message(3) | add.message(4)).run()
equal(chain.get_result(block=True, timeout=60_000), 10)

failed = fail.send()
until("what failed is among the dead", lambda: r.zcard("dramatiq:other.XQ") == 1)
until("all queues are empty", lambda: not any(r.llen(f"dramatiq:{queue}") for queue in ("default", "other")))

worker.stop()
broker.flush_all()
print("ok")
