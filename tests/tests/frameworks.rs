//! What is built on Redis finds one behind the proxy: what applications do with client libraries, task queues, rate limiters,
//! sessions, locks and caches. Task queues change many keys at once; a hash tag in their prefix keeps those on one shard.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use slotway_tests::client_scripts::{node, python};
use slotway_tests::{Cluster, RedisServer};

fn through_the_proxy(run: impl FnOnce(SocketAddr)) {
    run(Cluster::start().unwrap().endpoint());
}

#[test]
fn transactions_messages_waits_and_streams_of_redis_py_work_with_resp2() {
    through_the_proxy(|address| python("redis_py_idioms.py", address, &["2"]));
}

#[test]
fn transactions_messages_waits_and_streams_of_redis_py_work_with_resp3() {
    through_the_proxy(|address| python("redis_py_idioms.py", address, &["3"]));
}

#[test]
fn transactions_messages_waits_and_streams_of_ioredis_and_node_redis_work() {
    through_the_proxy(|address| node("node_idioms.mjs", address));
}

#[test]
fn caches_of_redis_py_and_node_redis_follow_what_others_write() {
    through_the_proxy(|address| {
        python("python_caches.py", address, &[]);
        node("node_caches.mjs", address);
    });
}

#[test]
fn rq_does_its_jobs() {
    through_the_proxy(|address| python("rq_jobs.py", address, &[]));
}

#[test]
fn celery_does_its_tasks_and_keeps_their_results() {
    through_the_proxy(|address| python("celery_jobs.py", address, &[]));
}

#[test]
fn dramatiq_does_its_jobs() {
    through_the_proxy(|address| python("dramatiq_jobs.py", address, &[]));
}

#[test]
fn bullmq_does_its_jobs() {
    through_the_proxy(|address| node("bullmq_jobs.mjs", address));
}

#[test]
fn rate_limiters_sessions_locks_caches_and_layers_in_python_work() {
    through_the_proxy(|address| python("python_stores.py", address, &[]));
}

#[test]
fn rate_limiters_and_sessions_in_node_work() {
    through_the_proxy(|address| node("node_stores.mjs", address));
}

/// The scripts say what Redis does.
#[test]
fn the_same_holds_on_a_real_redis() {
    let on_its_own = |run: &(dyn Fn(SocketAddr) + Sync)| run(RedisServer::start().unwrap().address());
    std::thread::scope(|scope| {
        scope.spawn(|| on_its_own(&|address| python("celery_jobs.py", address, &[])));
        scope.spawn(|| {
            on_its_own(&|address| python("rq_jobs.py", address, &[]));
            on_its_own(&|address| python("dramatiq_jobs.py", address, &[]));
            on_its_own(&|address| python("python_stores.py", address, &[]));
            on_its_own(&|address| python("python_caches.py", address, &[]));
        });
        for protocol in ["2", "3"] {
            on_its_own(&|address| python("redis_py_idioms.py", address, &[protocol]));
        }
        for script in ["node_idioms.mjs", "bullmq_jobs.mjs", "node_stores.mjs", "node_caches.mjs"] {
            on_its_own(&|address| node(script, address));
        }
    });
}
