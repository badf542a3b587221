// The commands of the usual tutorials with ioredis and node-redis, as on one Redis: tutorial.mjs LIBRARIES HOST PORT.
// Fails at the first reply that is not Redis's. The data set is emptied.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [libraries, host, port] = process.argv.slice(2);
const require = createRequire(libraries + "/");
const { Redis } = require("ioredis");
const { createClient } = require("redis");

async function withIoredis() {
  const redis = new Redis({ host, port: Number(port), maxRetriesPerRequest: 0 });
  assert.equal(await redis.ping(), "PONG");
  assert.equal(await redis.flushall(), "OK");
  assert.equal(await redis.set("name", "ada", "EX", 100), "OK");
  assert.equal(await redis.get("name"), "ada");
  assert.equal(await redis.get("nobody"), null);
  const pairs = Array.from({ length: 50 }, (_, i) => [`k${i}`, `${i}`]);
  assert.equal(await redis.mset(Object.fromEntries(pairs)), "OK");
  assert.deepEqual(await redis.mget(pairs.map(([key]) => key)), pairs.map(([, value]) => value));
  assert.equal(await redis.del("k0", "k1", "nobody"), 2);
  assert.equal(await redis.rpush("list", "a", "b"), 2);
  assert.deepEqual(await redis.lrange("list", 0, -1), ["a", "b"]);
  assert.equal(await redis.hset("hash", { a: "1", b: "2" }), 2);
  assert.deepEqual(await redis.hgetall("hash"), { a: "1", b: "2" });
  assert.deepEqual(await redis.zrange("nothing", 0, -1), []);
  // Everything that is awaited together goes out as one pipeline.
  const many = await Promise.all(Array.from({ length: 500 }, (_, i) => redis.incrby("counter", i % 3)));
  assert.equal(many.length, 500);
  assert.equal(await redis.get("counter"), String(many.at(-1)));
  const keys = new Set();
  for await (const some of redis.scanStream({ match: "k*", count: 10 })) some.forEach((key) => keys.add(key));
  assert.equal(keys.size, 48);
  await assert.rejects(redis.lpush("name", "x"), /WRONGTYPE/);
  redis.disconnect();
}

async function withNodeRedis(RESP) {
  const client = createClient({ socket: { host, port: Number(port), reconnectStrategy: false }, RESP });
  client.on("error", (error) => { throw error; });
  await client.connect();
  assert.equal(await client.ping(), "PONG");
  assert.equal(await client.flushAll(), "OK");
  assert.equal(await client.set("name", "ada", { EX: 100 }), "OK");
  assert.equal(await client.get("name"), "ada");
  assert.ok((await client.ttl("name")) > 0);
  assert.equal(await client.sAdd("set", ["x", "y"]), 2);
  assert.deepEqual([...(await client.sMembers("set"))].sort(), ["x", "y"]);
  assert.equal(await client.hSet("hash", { a: "1", b: "2" }), 2);
  assert.deepEqual({ ...(await client.hGetAll("hash")) }, { a: "1", b: "2" });
  assert.equal(await client.zAdd("board", [{ score: 1, value: "bob" }, { score: 3, value: "ada" }]), 2);
  assert.deepEqual(await client.zRangeWithScores("board", 0, -1), [
    { value: "bob", score: 1 },
    { value: "ada", score: 3 },
  ]);
  assert.equal(await client.zScore("board", "ada"), 3);
  await assert.rejects(client.lPush("name", "x"), /WRONGTYPE/);
  await client.select(3);
  assert.equal(await client.get("name"), null);
  await client.select(0);
  assert.equal(await client.dbSize(), 4);
  assert.equal(await client.flushAll(), "OK");
  client.destroy();
}

await withIoredis();
await withNodeRedis(2);
await withNodeRedis(3);
console.log("ok");
