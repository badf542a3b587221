"""How many tasks a second Celery does: bench_celery.py HOST PORT PREFIX TASKS. All tasks are sent to one worker, and their results
awaited. PREFIX stands before all keys. The data set is emptied."""

import os
import sys
import time

host, port, prefix, tasks = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
os.environ["BROKER"] = f"redis://{host}:{port}/0"
os.environ["RESULTS"] = f"redis://{host}:{port}/1"
os.environ["PREFIX"] = prefix

from celery_app import add, data
from checks import equal, start

data.flushall()
# Workers refuse to run as root otherwise.
os.environ["C_FORCE_ROOT"] = "1"
worker = start("celery", "-A", "celery_app", "worker", "--concurrency", "2", "--loglevel", "ERROR")
try:
    equal(add.delay(1, 2).get(timeout=60), 3)
    began = time.monotonic()
    results = [add.delay(number, 1) for number in range(tasks)]
    for number, result in enumerate(results):
        equal(result.get(timeout=60), number + 1)
    print(tasks / (time.monotonic() - began))
finally:
    worker.terminate()
    worker.wait()
print("ok")
