use super::*;

crate::cells! {
    /// An example.
    struct Cells in "test" {
        counter hits "Reads that found their key.";
        gauge memory_used_bytes "Bytes in use.";
        seconds paused "Time spent waiting.";
        counters errors[kind: ["client", "upstream"]] "Errors by cause.";
        histogram wait_duration "Time in the queue.";
        histograms request_duration[family: vec!["string".to_owned()]] "Time per request.";
    }
}

fn lines(page: &str, prefix: &str) -> Vec<String> {
    page.lines().filter(|line| line.starts_with(prefix)).map(str::to_owned).collect()
}

#[test]
fn threads_of_one_process_are_one_series() {
    let metrics = Metrics::new();
    let workers = [Arc::new(Cells::default()), Arc::new(Cells::default())];
    for worker in &workers {
        metrics.register(&[], worker.clone());
    }
    std::thread::scope(|scope| {
        for worker in &workers {
            scope.spawn(|| {
                for _ in 0..1000 {
                    worker.hits.inc();
                    worker.request_duration.at(0).observe_nanoseconds(2_000_000_000);
                }
                worker.memory_used_bytes.add(50);
                worker.memory_used_bytes.add(-8);
                worker.paused.add(std::time::Duration::from_millis(250));
                worker.errors.at(1).add(3);
            });
        }
    });
    let page = metrics.render();
    assert!(page.contains("slotway_test_hits_total 2000\n"), "{page}");
    assert!(page.contains("slotway_test_memory_used_bytes 84\n"), "{page}");
    assert!(page.contains("slotway_test_paused_seconds_total 0.5\n"), "{page}");
    assert!(page.contains("slotway_test_errors_total{kind=\"client\"} 0\n"), "{page}");
    assert!(page.contains("slotway_test_errors_total{kind=\"upstream\"} 6\n"), "{page}");
    assert!(page.contains("slotway_test_request_duration_seconds_sum{family=\"string\"} 4000\n"), "{page}");
    assert!(page.contains("slotway_test_request_duration_seconds_count{family=\"string\"} 2000\n"), "{page}");
    assert_eq!(lines(&page, "slotway_test_wait_duration_seconds_bucket").len(), BUCKETS, "{page}");
}

#[test]
fn labels_keep_sources_apart_until_one_leaves() {
    let metrics = Metrics::new();
    let first = Arc::new(Cells::default());
    first.hits.add(1);
    metrics.register(&[("shard", "a")], first.clone());
    let second: Arc<dyn Source> = Arc::new(Cells::default());
    metrics.register(&[("shard", "b")], second.clone());
    assert_eq!(
        lines(&metrics.render(), "slotway_test_hits_total"),
        ["slotway_test_hits_total{shard=\"a\"} 1", "slotway_test_hits_total{shard=\"b\"} 0"]
    );
    metrics.unregister(&second);
    assert_eq!(
        lines(&metrics.render(), "slotway_test_hits_total"),
        ["slotway_test_hits_total{shard=\"a\"} 1"]
    );
}

#[test]
fn unknown_positions_are_counted_nowhere() {
    let cells = Cells::default();
    cells.errors.at(7).inc();
    assert!(cells.errors.iter().all(|(_, cell)| cell.get() == 0));
}

#[test]
#[cfg(target_os = "linux")]
fn figures_of_the_process_are_included() {
    let page = Metrics::new().render();
    assert!(page.contains("process_cpu_seconds_total"), "{page}");
    assert!(page.contains("process_resident_memory_bytes"), "{page}");
}
