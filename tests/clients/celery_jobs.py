"""Celery with its broker and its results on Redis: celery_jobs.py HOST PORT.

Kombu and the result backend change several keys in one MULTI. Workers are processes of their own, as a user starts them.
The data set is emptied.
"""

import os
import sys
import time

host, port = sys.argv[1], int(sys.argv[2])
os.environ["BROKER"] = f"redis://{host}:{port}/0"
os.environ["RESULTS"] = f"redis://{host}:{port}/1"

from celery import chain, chord, group
from celery_app import add, app, data, fail, fails_until, hold, total
from checks import equal, fails, start, until

data.flushall()
# Workers refuse to run as root otherwise.
os.environ["C_FORCE_ROOT"] = "1"

# What is sent before there is a worker waits for one.
early = add.delay(1, 2)
worker = start(
    "celery", "-A", "celery_app", "worker", "--hostname", "one@here", "--concurrency", "2", "--loglevel", "ERROR"
)
try:
    equal(early.get(timeout=60), 3)

    # Results: many at once, which the client is told of over channels; groups, chains and chords.
    equal(group(add.s(number, number) for number in range(50))().get(timeout=60), [2 * n for n in range(50)])
    equal(chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=60), 10)
    equal(chord((add.s(number, 1) for number in range(10)), total.s())().get(timeout=60), 55)
    equal(chord([chain(add.s(1, 1), add.s(1)), add.s(4, 4)], total.s())().get(timeout=60), 11)

    # Retries and errors
    equal(fails_until.delay(3).get(timeout=60), 2)
    assert "wanted to" in fails(ValueError, fail.delay().get, timeout=60)
    assert fail.s().apply_async().get(propagate=False, timeout=60).args == ("wanted to",)

    # A task of later waits in the worker, and is not done before.
    started = time.monotonic()
    equal(add.apply_async((2, 3), countdown=0.5).get(timeout=60), 5)
    assert time.monotonic() - started >= 0.5

    # Commands to workers go over a channel, their replies over a queue.
    equal(app.control.inspect(timeout=10, limit=1).ping(), {"one@here": {"ok": "pong"}})
    revoked = add.apply_async((1, 1), countdown=3600)
    until("the task is scheduled", lambda: any(app.control.inspect(timeout=10, limit=1).scheduled().values()))
    revoked.revoke()
    until("the task is revoked", lambda: any(app.control.inspect(timeout=10, limit=1).revoked().values()))

    # A worker that is told to end finishes what it does, and gives back what it has not begun: the task of later.
    held = hold.delay()
    until("the task runs", lambda: data.llen("held") == 1)
    worker.terminate()
    data.rpush("release", "go")
    equal(held.get(timeout=60), "released")
    equal(worker.wait(60), 0)
    equal((data.hlen("unacked"), data.llen("celery")), (0, 1))
finally:
    worker.kill()
    worker.wait()

data.flushall()
print("ok")
