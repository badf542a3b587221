"""RQ: queues, workers that fork and that do not, retries, schedules, dependencies, commands to workers.

    rq_jobs.py HOST PORT

The data set is emptied.
"""

import os
import sys
from datetime import datetime, timedelta, timezone


import redis
import rq_tasks
from checks import equal, start, until
from rq import Queue, Repeat, Retry, SimpleWorker, Worker
from rq.command import send_shutdown_command, send_stop_job_command
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry

host, port = sys.argv[1], int(sys.argv[2])
r = redis.Redis(host=host, port=port)
r.flushall()
queue = Queue("default", connection=r)
high = Queue("high", connection=r)


def work(worker=SimpleWorker, queues=(high, queue), **options):
    """Does what there is to do."""
    return worker(list(queues), connection=r).work(burst=True, logging_level="ERROR", **options)


# What is enqueued is done, by a worker that forks too, and the queue that is named first comes first.
jobs = [queue.enqueue(rq_tasks.add, number, 1) for number in range(20)]
equal(queue.count, 20)
equal(work(), True)
equal([job.return_value() for job in jobs], list(range(1, 21)))
equal({job.get_status() for job in jobs}, {JobStatus.FINISHED})
equal(sorted(FinishedJobRegistry(queue=queue).get_job_ids()), sorted(job.id for job in jobs))
forked = queue.enqueue(rq_tasks.add, 20, 22)
work(Worker)
equal(forked.return_value(), 42)
queue.enqueue(rq_tasks.append, "order", "second")
high.enqueue(rq_tasks.append, "order", "first")
many = queue.enqueue_many([Queue.prepare_data(rq_tasks.append, args=("order", f"{n}")) for n in range(3)])
equal(len(many), 3)
work()
equal(r.lrange("order", 0, -1), [b"first", b"second", b"0", b"1", b"2"])

# Failures: retried as often as asked for, then in the registry, from where they can be enqueued again.
retried = queue.enqueue(rq_tasks.fails_until, 3, "attempts", retry=Retry(max=3))
broken = queue.enqueue(rq_tasks.fail, retry=Retry(max=1))
work()
equal((retried.get_status(), retried.return_value(), r.get("attempts")), (JobStatus.FINISHED, "at last", b"3"))
equal(broken.get_status(), JobStatus.FAILED)
assert "wanted to" in broken.latest_result().exc_string
failed = FailedJobRegistry(queue=queue)
equal(failed.get_job_ids(), [broken.id])
failed.requeue(broken.id)
equal((failed.count, queue.job_ids), (0, [broken.id]))
broken.delete()
equal((queue.count, Job.exists(broken.id, connection=r)), (0, False))

# Schedules
scheduled = ScheduledJobRegistry(queue=queue)
later = queue.enqueue_in(timedelta(hours=1), rq_tasks.add, 1, 1)
due = queue.enqueue_at(datetime.now(timezone.utc) - timedelta(seconds=1), rq_tasks.add, 3, 4)
equal(sorted(scheduled.get_job_ids()), sorted([later.id, due.id]))
work(with_scheduler=True)
equal((due.return_value(), scheduled.get_job_ids()), (7, [later.id]))
repeated = queue.enqueue(rq_tasks.append, "repeats", "x", repeat=Repeat(times=2))
work()
equal((r.llen("repeats"), repeated.get_status()), (3, JobStatus.FINISHED))

# Dependencies are watched while a job is made that waits for them.
first = queue.enqueue(rq_tasks.append, "chain", "first")
second = queue.enqueue(rq_tasks.append, "chain", "second", depends_on=first)
third = queue.enqueue(rq_tasks.append, "chain", "third", depends_on=[first, second])
equal(third.get_status(), JobStatus.DEFERRED)
work()
equal(r.lrange("chain", 0, -1), [b"first", b"second", b"third"])

# A worker that waits for jobs, in a process of its own, hears of commands over a channel.
url = f"redis://{host}:{port}/0"
process = start("rq", "worker", "--url", url, "--name", "waiting", "--logging_level", "ERROR", "high", "default")
try:
    until("the worker is there", lambda: [worker.name for worker in Worker.all(connection=r)] == ["waiting"])
    answered = queue.enqueue(rq_tasks.add, 1, 2)
    until("the worker has answered", lambda: answered.get_status(refresh=True) == JobStatus.FINISHED)
    equal(answered.return_value(), 3)
    held = high.enqueue(rq_tasks.hold, "held")
    until("the job runs", lambda: r.get("held") == b"running")
    send_stop_job_command(r, held.id)
    until("the job is stopped", lambda: held.get_status(refresh=True) == JobStatus.STOPPED)
    send_shutdown_command(r, "waiting")
    equal(process.wait(60), 0)
    equal(Worker.all(connection=r), [])
finally:
    process.kill()
    process.wait()

r.flushall()
print("ok")
