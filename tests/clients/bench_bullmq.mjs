// How many jobs a second BullMQ does: bench_bullmq.mjs LIBRARIES HOST PORT PREFIX JOBS. All jobs are added one by one, many at once, to
// a queue that a worker is at. The data set is emptied.

import { createRequire } from "node:module";

const [libraries, host, port, prefix, jobs] = process.argv.slice(2);
const require = createRequire(libraries + "/");
const { Queue, Worker } = require("bullmq");
const { Redis } = require("ioredis");

const options = { connection: { host, port: Number(port), maxRetriesPerRequest: null }, prefix };
const redis = new Redis(options.connection);
await redis.flushall();
const queue = new Queue("work", options);
await queue.waitUntilReady();
const began = performance.now();
let left = Number(jobs);
const done = new Promise((resolve) => {
  const worker = new Worker("work", async (job) => job.data.number, { ...options, concurrency: 10 });
  worker.on("completed", () => --left === 0 && resolve(worker));
});
let next = 0;
const add = async () => {
  while (next < Number(jobs)) await queue.add("job", { number: next++ });
};
await Promise.all(Array.from({ length: 10 }, add));
const worker = await done;
console.log((Number(jobs) / (performance.now() - began)) * 1000);
console.log("ok");
await Promise.all([worker.close(), queue.close(), redis.quit()]);
process.exit(0);
