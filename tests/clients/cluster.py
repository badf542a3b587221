"""A cluster-aware client that speaks with the shards themselves: cluster.py HOST PORT [2|3]."""

import sys

from redis.cluster import RedisCluster

host, port = sys.argv[1], int(sys.argv[2])
protocol = int(sys.argv[3]) if len(sys.argv) > 3 else 2
r = RedisCluster(host=host, port=port, protocol=protocol, decode_responses=True)

nodes = r.get_primaries()
assert len(nodes) == 3, nodes
for i in range(300):
    assert r.set(f"key:{i}", i) is True
for i in range(300):
    assert r.get(f"key:{i}") == str(i)
per_node = [r.dbsize(target_nodes=node) for node in nodes]
assert sum(per_node) == 300 and min(per_node) > 0, per_node
assert r.mget_nonatomic([f"key:{i}" for i in range(300)]) == [str(i) for i in range(300)]
assert r.lpush("{tag}list", "a", "b") == 2
assert r.lmove("{tag}list", "{tag}other", "LEFT", "RIGHT") == "b"
slot = r.keyslot("key:1")
assert r.cluster_keyslot("key:1") == slot
assert r.cluster_countkeysinslot(slot) >= 1
assert "key:1" in r.cluster_get_keys_in_slot(slot, 100)
assert r.cluster_info(target_nodes=nodes[0])["cluster_state"] == "ok"
assert len(r.cluster_nodes()) == 3

# A client whose idea of the slots is wrong is sent to the right node.
first, second = nodes[0], nodes[1]
r.nodes_manager.slots_cache[slot] = [second if r.nodes_manager.slots_cache[slot][0] == first else first]
assert r.get("key:1") == "1"
print("ok")
