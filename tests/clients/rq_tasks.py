"""Jobs for rq_jobs.py, which workers import."""

import time

from rq import get_current_job


def add(a, b):
    return a + b


def fails_until(attempt, key):
    """Fails until it is called for the given time."""
    connection = get_current_job().connection
    if connection.incr(key) < attempt:
        raise ValueError("too early")
    return "at last"


def fail():
    raise RuntimeError("wanted to")


def append(key, value):
    get_current_job().connection.rpush(key, value)


def hold(key):
    """Says that it runs, and does not end by itself."""
    get_current_job().connection.set(key, "running")
    time.sleep(600)
