// BullMQ: bullmq_jobs.mjs LIBRARIES HOST PORT. Queues, workers, delays, priorities, retries, schedulers, flows and events.
//
// Its scripts reach all keys of a queue, whose prefix has no hash tag. The data set is emptied.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [libraries, host, port] = process.argv.slice(2);
const require = createRequire(libraries + "/");
const { FlowProducer, Queue, QueueEvents, Worker } = require("bullmq");
const { Redis } = require("ioredis");

const options = { connection: { host, port: Number(port), maxRetriesPerRequest: null } };
const redis = new Redis(options.connection);
await redis.flushall();

const opened = [redis];
const open = (thing) => {
  thing.on("error", (error) => { throw error; });
  opened.unshift(thing);
  return thing;
};
const queue = open(new Queue("work", options));
queue.setMaxListeners(200);
const events = open(new QueueEvents("work", options));
await events.waitUntilReady();

// Jobs that wait for a worker are done in their order; what is more urgent first.
const done = [];
const kinds = {
  add: async (job) => job.data.a + job.data.b,
  note: async (job) => void done.push(job.data.name),
  late: async (job) => {
    if (job.attemptsMade < 2) throw new Error("too early");
    return "at last";
  },
  fail: async () => { throw new Error("wanted to"); },
  progress: async (job) => job.updateProgress(50),
  parent: async (job) => Object.values(await job.getChildrenValues()).reduce((one, two) => one + two, 0),
};
const process_ = (job) => kinds[job.name](job);
const backlog = await queue.addBulk(["first", "second"].map((name) => ({ name: "note", data: { name }, opts: { priority: 2 } })));
backlog.push(await queue.add("note", { name: "urgent" }, { priority: 1 }));
assert.equal(await queue.getPrioritizedCount(), 3);
const worker = open(new Worker("work", process_, options));
await Promise.all(backlog.map((job) => job.waitUntilFinished(events, 60_000)));
assert.deepEqual(done, ["urgent", "first", "second"]);

// A worker that waits is woken, by many jobs at once, and several share them.
const second = open(new Worker("work", process_, { ...options, concurrency: 4 }));
const many = await queue.addBulk(Array.from({ length: 100 }, (_, number) => ({ name: "add", data: { a: number, b: 1 } })));
const sums = await Promise.all(many.map((job) => job.waitUntilFinished(events, 60_000)));
assert.deepEqual(sums, Array.from({ length: 100 }, (_, number) => number + 1));

// Retries, failures, progress, delays
const late = await queue.add("late", {}, { attempts: 3, backoff: { type: "fixed", delay: 10 } });
assert.equal(await late.waitUntilFinished(events, 60_000), "at last");
const failed = await queue.add("fail", {}, { attempts: 2 });
await assert.rejects(failed.waitUntilFinished(events, 60_000), /wanted to/);
assert.deepEqual((await queue.getFailed()).map((job) => job.id), [failed.id]);
await failed.retry();
await assert.rejects(failed.waitUntilFinished(events, 60_000), /wanted to/);
const progress = new Promise((resolve) => events.once("progress", resolve));
const told = await queue.add("progress", {});
assert.deepEqual({ ...(await progress) }, { jobId: told.id, data: 50 });
const before = Date.now();
const delayed = await queue.add("add", { a: 1, b: 2 }, { delay: 200 });
assert.equal(await delayed.getState(), "delayed");
assert.equal(await delayed.waitUntilFinished(events, 60_000), 3);
assert.ok(Date.now() - before >= 200);
const removed = await queue.add("add", { a: 1, b: 2 }, { delay: 3_600_000 });
await removed.remove();
assert.equal(await queue.getDelayedCount(), 0);

// The same job twice is one.
const twice = [await queue.add("add", { a: 2, b: 2 }, { jobId: "once" }), await queue.add("add", { a: 3, b: 3 }, { jobId: "once" })];
assert.deepEqual(await Promise.all(twice.map((job) => job.waitUntilFinished(events, 60_000))), [4, 4]);

// A scheduler makes jobs again and again.
const repeats = new Promise((resolve) => {
  let seen = 0;
  second.on("completed", (job) => job.repeatJobKey === "often" && ++seen === 2 && resolve());
  worker.on("completed", (job) => job.repeatJobKey === "often" && ++seen === 2 && resolve());
});
await queue.upsertJobScheduler("often", { every: 100 }, { name: "note", data: { name: "again" } });
assert.deepEqual((await queue.getJobSchedulers()).map(({ key }) => key), ["often"]);
await repeats;
assert.equal(await queue.removeJobScheduler("often"), true);

// A job that waits for its children, which are in another queue
const children = open(new Queue("children", options));
open(new Worker("children", process_, options));
const flows = open(new FlowProducer(options));
const flow = await flows.add({
  name: "parent",
  queueName: "work",
  children: [1, 2, 3].map((a) => ({ name: "add", queueName: "children", data: { a, b: 10 } })),
});
assert.equal(await flow.job.waitUntilFinished(events, 60_000), 36);
assert.equal(await children.getCompletedCount(), 3);

// Pausing, cleaning and emptying
await queue.pause();
await queue.add("note", { name: "never" });
assert.equal(await queue.isPaused(), true);
assert.equal(await queue.getJobCountByTypes("waiting", "paused"), 1);
await queue.drain();
assert.ok((await queue.clean(0, 1000, "completed")).length > 100);
assert.equal(await queue.getCompletedCount(), 0);
await queue.obliterate({ force: true });
assert.deepEqual(await redis.keys("bull:work:*").then((keys) => keys.filter((key) => !/:(events|stalled-check|meta)$/.test(key))), []);

for (const thing of opened) await (thing.close ? thing.close() : thing.flushall());
redis.disconnect();
console.log("ok");
