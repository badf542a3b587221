// node-redis's cache of what it has read: node_caches.mjs LIBRARIES HOST PORT. The data set is emptied.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [libraries, host, port] = process.argv.slice(2);
const require = createRequire(libraries + "/");
const { createClient } = require("redis");
const connect = (options) => createClient({ socket: { host, port: Number(port) }, RESP: 3, ...options }).connect();
const cached = await connect({ clientSideCache: { ttl: 0, maxEntries: 0, evictPolicy: "LRU" } });
const writer = await connect({});
const keys = Array.from({ length: 100 }, (_, number) => `cached:${number}`);

/** Reads all keys until each has this value. */
async function untilAllAre(value) {
  while (!(await Promise.all(keys.map((key) => cached.get(key)))).every((read) => read === value)) {
    // What it is told comes in meanwhile.
    await new Promise(setImmediate);
  }
}

async function reads() {
  const found = /cmdstat_get:calls=(\d+)/.exec(await writer.info("commandstats"));
  return found ? Number(found[1]) : 0;
}

await writer.flushAll();
for (const value of ["first", "second", "third"]) {
  for (const key of keys) await writer.set(key, value);
  await untilAllAre(value);
  // What it has is not asked for again.
  const before = await reads();
  await untilAllAre(value);
  assert.equal(await reads(), before);
}
await writer.flushAll();
await untilAllAre(null);
cached.destroy();
writer.destroy();
console.log("ok");
