// What applications do with ioredis and node-redis: node_idioms.mjs LIBRARIES HOST PORT.
//
// Transactions, scripts, waiting, messages, streams and pools of connections. Fails at the first reply that is not Redis's.
// The data set is emptied.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";

const [libraries, host, port] = process.argv.slice(2);
const require = createRequire(libraries + "/");
const { Redis } = require("ioredis");
const { createClient, createClientPool, defineScript, WatchError } = require("redis");
const tags = Array.from({ length: 12 }, (_, number) => `{tag${number}}`);

/** Waits until so many clients wait for data; `info` gives the section on clients. */
async function untilBlocked(info, count) {
  while (!(await info()).includes(`blocked_clients:${count}\r\n`)) await new Promise(setImmediate);
}

async function withIoredis() {
  const options = { host, port: Number(port), maxRetriesPerRequest: 0 };
  const redis = new Redis(options);
  await redis.flushall();

  // Pipelines over many slots, and transactions in one
  const pipeline = redis.pipeline();
  for (const tag of tags) pipeline.set(`${tag}a`, tag).get(`${tag}a`).incr(`${tag}a`);
  const replies = await pipeline.exec();
  assert.equal(replies.length, 36);
  tags.forEach((tag, number) => {
    assert.deepEqual(replies.slice(3 * number, 3 * number + 2), [[null, "OK"], [null, tag]]);
    assert.match(replies[3 * number + 2][0].message, /not an integer/);
  });
  for (const tag of tags) {
    const done = await redis.multi().set(`${tag}n`, 1).incr(`${tag}n`).lpush(`${tag}n`, "x").exec();
    assert.deepEqual(done.slice(0, 2), [[null, "OK"], [null, 2]]);
    assert.match(done[2][0].message, /WRONGTYPE/);
  }
  await assert.rejects(redis.multi().set("{t}a", 1).call("nosuch").exec(), /EXECABORT/);
  const other = redis.duplicate();
  await redis.watch("{tag1}n");
  await other.set("{tag1}n", "changed");
  assert.equal(await redis.multi().set("{tag1}n", "lost").exec(), null);
  assert.equal(await redis.get("{tag1}n"), "changed");

  // Scripts by their digests, alone, in a pipeline and in a transaction
  redis.defineCommand("addTo", { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1]) + 0" });
  assert.deepEqual(await Promise.all(tags.map((tag) => redis.addTo(`${tag}s`, 5))), tags.map(() => 5));
  const added = await tags.reduce((some, tag) => some.addTo(`${tag}s`, 2).get(`${tag}s`), redis.pipeline()).exec();
  assert.deepEqual(added, tags.flatMap(() => [[null, 7], [null, "7"]]));
  for (const tag of tags) {
    assert.deepEqual(await redis.multi().addTo(`${tag}s`, 1).get(`${tag}s`).exec(), [[null, 8], [null, "8"]]);
  }

  // A connection that waits, while others of the same client do not
  const waiting = redis.duplicate();
  for (const tag of tags.slice(0, 4)) {
    const taken = waiting.blpop("nothing", `${tag}queue`, 60);
    await untilBlocked(() => redis.info("clients"), 1);
    await redis.rpush(`${tag}queue`, "job");
    assert.deepEqual(await taken, [`${tag}queue`, "job"]);
  }
  assert.equal(await waiting.brpop("nothing", 0.05), null);

  // Messages
  const subscriber = redis.duplicate();
  assert.equal(await subscriber.subscribe("news", "weather"), 2);
  assert.equal(await subscriber.psubscribe("n*"), 3);
  const heard = [];
  subscriber.on("message", (channel, message) => heard.push([channel, message]));
  subscriber.on("pmessage", (pattern, channel, message) => heard.push([pattern, channel, message]));
  assert.equal(await redis.publish("news", "hello"), 2);
  assert.equal(await redis.publish("weather", "rain"), 1);
  while (heard.length < 3) await once(subscriber, "message");
  assert.deepEqual(heard.sort(), [["n*", "news", "hello"], ["news", "hello"], ["weather", "rain"]]);

  // Streams
  await redis.xgroup("CREATE", "events", "workers", "$", "MKSTREAM");
  const read = waiting.xreadgroup("GROUP", "workers", "one", "BLOCK", 60000, "STREAMS", "events", ">");
  await untilBlocked(() => redis.info("clients"), 1);
  const id = await redis.xadd("events", "*", "number", "1");
  assert.deepEqual(await read, [["events", [[id, ["number", "1"]]]]]);
  assert.equal(await redis.xack("events", "workers", id), 1);

  // Binary keys and values
  const bytes = Buffer.from([0, 13, 10, 255]);
  await redis.set(bytes, bytes);
  assert.deepEqual(await redis.getBuffer(bytes), bytes);
  for (const client of [redis, other, waiting, subscriber]) client.disconnect();
}

async function withNodeRedis(RESP) {
  const addTo = defineScript({
    NUMBER_OF_KEYS: 1,
    SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
    parseCommand: (parser, key, number) => {
      parser.pushKey(key);
      parser.push(String(number));
    },
    transformReply: (reply) => reply,
  });
  const options = { socket: { host, port: Number(port), reconnectStrategy: false }, RESP, scripts: { addTo } };
  const connect = async (client) => {
    client.on("error", (error) => { throw error; });
    return client.connect();
  };
  const client = await connect(createClient(options));
  await client.flushAll();

  // Transactions
  for (const tag of tags) {
    assert.deepEqual(await client.multi().set(`${tag}a`, "1").incr(`${tag}a`).get(`${tag}a`).exec(), ["OK", 2, "2"]);
  }
  const other = await connect(client.duplicate());
  await client.watch("{tag1}a");
  await other.set("{tag1}a", "changed");
  await assert.rejects(client.multi().set("{tag1}a", "lost").exec(), WatchError);
  assert.equal(await client.get("{tag1}a"), "changed");
  assert.deepEqual(await client.multi().ping().set("x", "1").execAsPipeline(), ["PONG", "OK"]);

  // Scripts
  assert.deepEqual(await Promise.all(tags.map((tag) => client.addTo(`${tag}s`, 5))), tags.map(() => 5));
  for (const tag of tags) {
    assert.deepEqual(await client.multi().addTo(`${tag}s`, 2).get(`${tag}s`).exec(), [7, "7"]);
  }
  assert.deepEqual(await client.eval("return {KEYS[1], ARGV[1], 7}", { keys: ["k"], arguments: ["a"] }), ["k", "a", 7]);

  // Waiting, and what others do meanwhile
  const taken = other.blPop(["nothing", "{tag2}queue"], 60);
  await untilBlocked(() => client.info("clients"), 1);
  await client.rPush("{tag2}queue", ["a", "b"]);
  assert.deepEqual({ ...(await taken) }, { key: "{tag2}queue", element: "a" });
  assert.equal(await other.blMove("{tag2}queue", "{tag2}done", "LEFT", "RIGHT", 1), "b");
  assert.equal(await other.brPop("nothing", 0.05), null);

  // Messages: beside commands on the same connection in RESP3, on one of their own in RESP2
  const heard = [];
  const subscriber = RESP === 3 ? client : other;
  await subscriber.subscribe("news", (message, channel) => heard.push([channel, message]));
  await subscriber.pSubscribe("n*", (message, channel) => heard.push([channel, message]));
  assert.equal(await client.publish("news", "hello"), 2);
  while (heard.length < 2) await new Promise(setImmediate);
  assert.deepEqual(heard, [["news", "hello"], ["news", "hello"]]);
  if (RESP === 3) assert.equal(await client.get("x"), "1");
  await subscriber.unsubscribe();
  await subscriber.pUnsubscribe();
  assert.equal(await client.publish("news", "nobody"), 0);

  // Types, which in RESP3 the server tells
  await client.hSet("hash", { a: "1", b: "2" });
  assert.deepEqual({ ...(await client.hGetAll("hash")) }, { a: "1", b: "2" });
  await client.zAdd("board", [{ score: 1.5, value: "bob" }]);
  assert.equal(await client.zScore("board", "bob"), 1.5);
  assert.deepEqual(
    (await client.zRangeWithScores("board", 0, -1)).map((pair) => ({ ...pair })), [{ value: "bob", score: 1.5 }]);
  const found = [];
  for await (const some of client.scanIterator({ MATCH: "{tag*", COUNT: 10 })) found.push(...some);
  assert.equal(new Set(found).size, 25);

  // A pool, whose connections wait while others work
  const pool = await connect(createClientPool(options, { minimum: 1, maximum: 20 }));
  const waits = Array.from({ length: 10 }, () => pool.execute((one) => one.blPop("pooled", 60)));
  await untilBlocked(() => client.info("clients"), 10);
  assert.equal(await pool.rPush("pooled", Array.from({ length: 10 }, (_, number) => `${number}`)), 10);
  const served = (await Promise.all(waits)).map(({ element }) => Number(element)).sort((one, two) => one - two);
  assert.deepEqual(served, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  await pool.close();
  await client.flushAll();
  client.destroy();
  other.destroy();
}

await withIoredis();
await withNodeRedis(2);
await withNodeRedis(3);
console.log("ok");
