use super::*;

fn tells(messages: &[(usize, Message)]) -> Turn {
    Turn { messages: messages.to_vec(), outcome: None }
}

fn ends(messages: &[(usize, Message)], outcome: Outcome) -> Turn {
    Turn { messages: messages.to_vec(), outcome: Some(outcome) }
}

fn answer(coordinator: &mut Coordinator, from: usize, reply: &str) -> Turn {
    coordinator.take(Event::Answer(from, Ok(format!("{reply}\r\n").into_bytes())))
}

fn fails(coordinator: &mut Coordinator, from: usize, why: AskError) -> Turn {
    coordinator.take(Event::Answer(from, Err(why)))
}

/// One of three participants of which so many have prepared.
fn coordinator(prepared: usize) -> Coordinator {
    let mut coordinator = Coordinator::new(3);
    coordinator.begin();
    for participant in 0..prepared {
        answer(&mut coordinator, participant, "+PREPARED");
    }
    coordinator
}

use Message::{Abort, Alive, Commit, Decide, Forget, Prepare};

#[test]
fn one_after_the_other_prepares_the_last_decides_and_all_others_commit_at_once() {
    let mut coordinator = Coordinator::new(3);
    assert_eq!(coordinator.begin(), tells(&[(0, Prepare)]));
    assert_eq!(answer(&mut coordinator, 0, "+PREPARED"), tells(&[(1, Prepare)]));
    assert_eq!(answer(&mut coordinator, 1, "+PREPARED"), tells(&[(2, Decide)]));
    assert_eq!(answer(&mut coordinator, 2, "*1\r\n:1"), tells(&[(0, Commit), (1, Commit)]));
    assert_eq!(answer(&mut coordinator, 1, "*0"), tells(&[]));
    let replies = ["*1\r\n:2\r\n", "*0\r\n", "*1\r\n:1\r\n"].map(|reply| Some(reply.as_bytes().to_vec()));
    let outcome = Outcome::Committed(replies.to_vec());
    assert_eq!(answer(&mut coordinator, 0, "*1\r\n:2"), ends(&[(2, Forget)], outcome));
}

#[test]
fn who_has_prepared_hears_every_second_that_the_transaction_is_not_over() {
    let mut coordinator = coordinator(0);
    assert_eq!(coordinator.take(Event::Second), tells(&[]));
    answer(&mut coordinator, 0, "+PREPARED");
    assert_eq!(coordinator.take(Event::Second), tells(&[(0, Alive)]));
    answer(&mut coordinator, 1, "+PREPARED");
    assert_eq!(coordinator.take(Event::Second), tells(&[(0, Alive), (1, Alive)]));
    answer(&mut coordinator, 2, "*0");
    assert_eq!(coordinator.take(Event::Second), tells(&[]), "they were told to commit");
}

#[test]
fn a_refusal_aborts_those_that_have_prepared_and_nobody_else() {
    let refusals = [
        ("*-1", Outcome::Broken),
        ("_", Outcome::Broken),
        ("-OOM no", Outcome::Refused(b"OOM no".to_vec())),
        ("-NOSCRIPT No matching script.", Outcome::Refused(b"NOSCRIPT No matching script.".to_vec())),
        ("-TXMOVED 12 h:2", Outcome::Moved { slot: 12, address: "h:2".to_owned() }),
    ];
    for (reply, outcome) in refusals {
        assert_eq!(answer(&mut coordinator(0), 0, reply).messages, []);
        assert_eq!(answer(&mut coordinator(1), 1, reply).messages, [(0, Abort)]);
        let mut last = coordinator(2);
        assert_eq!(answer(&mut last, 2, reply), ends(&[(0, Abort), (1, Abort)], outcome));
        assert_eq!(answer(&mut last, 2, "*0"), tells(&[]), "it is over");
    }
}

#[test]
fn scripts_that_a_participant_does_not_know_are_named() {
    let (one, two) = ("a".repeat(40), "b".repeat(40));
    let digests = vec![one.clone().into_bytes(), two.clone().into_bytes()];
    let outcome = Outcome::UnknownScripts { participant: 1, digests };
    assert_eq!(
        answer(&mut coordinator(1), 1, &format!("-NOSCRIPT {one} {two}")),
        ends(&[(0, Abort)], outcome)
    );
}

#[test]
fn a_participant_that_is_lost_before_the_decision_is_told_to_abort_too() {
    let lost = Outcome::Unreachable(1, AskError::Lost);
    assert_eq!(fails(&mut coordinator(1), 1, AskError::Lost), ends(&[(0, Abort), (1, Abort)], lost));
    let down = Outcome::Unreachable(1, AskError::Down);
    assert_eq!(fails(&mut coordinator(1), 1, AskError::Down), ends(&[(0, Abort)], down));
    let strange = Outcome::Refused(strange());
    assert_eq!(answer(&mut coordinator(1), 1, "+OK"), ends(&[(0, Abort), (1, Abort)], strange));
}

#[test]
fn a_decider_that_was_not_asked_has_not_committed() {
    let down = Outcome::Unreachable(2, AskError::Down);
    assert_eq!(fails(&mut coordinator(2), 2, AskError::Down), ends(&[(0, Abort), (1, Abort)], down));
}

#[test]
fn nobody_is_told_to_abort_when_the_decision_is_not_known() {
    assert_eq!(fails(&mut coordinator(2), 2, AskError::Lost), ends(&[], Outcome::Unknown));
    assert_eq!(answer(&mut coordinator(2), 2, "+OK"), ends(&[], Outcome::Unknown));
}

#[test]
fn the_decider_keeps_the_outcome_while_somebody_may_ask_for_it() {
    let mut lost = coordinator(2);
    answer(&mut lost, 2, "*0");
    assert_eq!(fails(&mut lost, 0, AskError::Lost), tells(&[]));
    let replies = vec![None, Some(b"*0\r\n".to_vec()), Some(b"*0\r\n".to_vec())];
    assert_eq!(answer(&mut lost, 1, "*0"), ends(&[], Outcome::Committed(replies)));

    let mut ended = coordinator(2);
    answer(&mut ended, 2, "*0");
    answer(&mut ended, 0, "*0");
    let replies = vec![Some(b"*0\r\n".to_vec()), None, Some(b"*0\r\n".to_vec())];
    assert_eq!(
        answer(&mut ended, 1, "-NOTRANSACTION it has ended"),
        ends(&[(2, Forget)], Outcome::Committed(replies)),
        "it has asked already"
    );
}

#[test]
fn one_participant_alone_decides_at_once() {
    let mut coordinator = Coordinator::new(1);
    assert_eq!(coordinator.begin(), tells(&[(0, Decide)]));
    let outcome = Outcome::Committed(vec![Some(b"*0\r\n".to_vec())]);
    assert_eq!(answer(&mut coordinator, 0, "*0"), ends(&[(0, Forget)], outcome));
}
