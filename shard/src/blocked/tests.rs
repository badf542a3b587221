use super::*;
use crate::migration::tests::{run, session, shard};

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn who_waits_first_is_served_first() {
    let mut shard = shard();
    let mut waiters: Vec<Session> = (0..3)
        .map(|number| {
            let client = Rc::new(Client::new(number + 10, String::new(), String::new(), 0));
            Session { may_wait: true, ..Session::new(client) }
        })
        .collect();
    for waiter in &mut waiters {
        run(&mut shard, waiter, &words("BLPOP list 0"));
    }
    run(&mut shard, &mut session(), &words("RPUSH list one two"));
    let served: Vec<String> = waiters
        .iter()
        .map(|waiter| String::from_utf8_lossy(&waiter.client.pushed.borrow()).into_owned())
        .collect();
    let popped = |value: &str| format!("*2\r\n$4\r\nlist\r\n$3\r\n{value}\r\n");
    assert_eq!(served, [popped("one"), popped("two"), String::new()]);
}

#[test]
fn a_planted_waiter_out_of_order_is_found() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "blocked::tests::who_waits_first_is_served_first"])
        .env("SLOTWAY_PLANTED", "waiter-out-of-order")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && text.contains("1 failed"), "{text}");
}
