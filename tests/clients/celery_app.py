"""A Celery application, which workers import. BROKER and RESULTS are its URLs; PREFIX, if there is any, stands before all keys."""

import os

import redis
from celery import Celery

app = Celery("jobs", broker=os.environ["BROKER"], backend=os.environ["RESULTS"])
prefix = {"global_keyprefix": os.environ["PREFIX"]} if os.environ.get("PREFIX") else {}
app.conf.update(
    broker_transport_options={"visibility_timeout": 3600, **prefix},
    result_backend_transport_options=prefix,
    worker_hijack_root_logger=False,
    task_acks_late=True,
    result_extended=True,
)
data = redis.Redis.from_url(os.environ["BROKER"], decode_responses=True)


@app.task
def add(a, b):
    return a + b


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=3)
def fails_until(self, attempt):
    if self.request.retries + 1 < attempt:
        raise self.retry(countdown=0.05)
    return self.request.retries


@app.task
def fail():
    raise ValueError("wanted to")


@app.task
def hold():
    """Says that it runs, and does not end until it is told to."""
    data.rpush("held", "running")
    data.blpop("release", 60)
    return "released"
