// A rate limiter and a session store: node_stores.mjs LIBRARIES HOST PORT. The data set is emptied.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [libraries, host, port] = process.argv.slice(2);
const require = createRequire(libraries + "/");
const { Redis } = require("ioredis");
const { createClient } = require("redis");
const session = require("express-session");
const { RedisStore } = require("connect-redis");
const { BurstyRateLimiter, RateLimiterRedis } = require("rate-limiter-flexible");

const redis = new Redis({ host, port: Number(port), maxRetriesPerRequest: 0 });
const client = createClient({ socket: { host, port: Number(port), reconnectStrategy: false } });
client.on("error", (error) => { throw error; });
await client.connect();
await redis.flushall();

// As many points as there are are given to those who ask at once, and no more.
for (const storeClient of [redis, client]) {
  const keyPrefix = storeClient === redis ? "one" : "other";
  const kept = { storeClient, useRedisPackage: storeClient === client, duration: 60 };
  const limiter = new RateLimiterRedis({ ...kept, keyPrefix, points: 5, blockDuration: 120 });
  for (const user of Array.from({ length: 10 }, (_, number) => `user${number}`)) {
    const asked = await Promise.allSettled(Array.from({ length: 8 }, () => limiter.consume(user)));
    assert.equal(asked.filter(({ status }) => status === "fulfilled").length, 5);
    const refused = asked.find(({ status }) => status === "rejected").reason;
    assert.equal(refused.remainingPoints, 0);
    assert.ok(refused.msBeforeNext > 60_000 && refused.msBeforeNext <= 120_000, String(refused.msBeforeNext));
  }
  assert.equal((await limiter.get("user1")).remainingPoints, 0);
  assert.equal(await limiter.delete("user1"), true);
  assert.equal((await limiter.consume("user1", 2)).remainingPoints, 3);
  assert.equal((await limiter.reward("user1", 1)).remainingPoints, 4);
  assert.equal((await limiter.penalty("user1", 3)).consumedPoints, 4);
  const bursty = new BurstyRateLimiter(
    new RateLimiterRedis({ ...kept, keyPrefix: `${keyPrefix}:steady`, points: 1 }),
    new RateLimiterRedis({ ...kept, keyPrefix: `${keyPrefix}:burst`, points: 2 }),
  );
  const bursts = await Promise.allSettled(Array.from({ length: 5 }, () => bursty.consume("user")));
  assert.equal(bursts.filter(({ status }) => status === "fulfilled").length, 3);
}

// Sessions are kept, seen by all, listed, touched and end.
const store = new RedisStore({ client, prefix: "sess:", ttl: 3600 });
assert.ok(store instanceof session.Store);
const call = (method, ...args) =>
  new Promise((resolve, reject) => store[method](...args, (error, result) => (error ? reject(error) : resolve(result))));
const made = { cookie: { originalMaxAge: 60_000, expires: new Date(Date.now() + 60_000).toISOString() }, visits: 1 };
const ids = Array.from({ length: 50 }, (_, number) => `id${number}`);
for (const id of ids) await call("set", id, { ...made, name: id });
assert.equal((await call("get", "id7")).name, "id7");
assert.equal(await call("get", "nobody"), null);
const left = await redis.ttl("sess:id7");
assert.ok(left > 0 && left <= 60, String(left));
assert.equal(await call("length"), 50);
assert.deepEqual((await call("ids")).sort(), [...ids].sort());
assert.deepEqual((await call("all")).map(({ name }) => name).sort(), [...ids].sort());
await call("touch", "id7", { cookie: { expires: new Date(Date.now() + 600_000).toISOString() } });
assert.ok((await redis.ttl("sess:id7")) > 60);
await call("destroy", "id7");
assert.equal(await call("length"), 49);
await call("clear");
assert.equal(await call("length"), 0);

await redis.flushall();
redis.disconnect();
client.destroy();
console.log("ok");
