use std::collections::VecDeque;

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;

fn limits(list_max_listpack_size: i64) -> Limits {
    Limits { list_max_listpack_size, ..Limits::default() }
}

fn contents(list: &List) -> Vec<Vec<u8>> {
    list.iter().map(Item::to_vec).collect()
}

fn check(list: &List, model: &VecDeque<Vec<u8>>) {
    assert_eq!(list.len(), model.len());
    assert_eq!(*model, contents(list));
    let backwards = list.iter_from(list.len().saturating_sub(1), true).map(Item::to_vec);
    assert!(backwards.eq(model.iter().rev().cloned()));
    assert_eq!(list.peek(End::Head).map(Item::to_vec), model.front().cloned());
    assert_eq!(list.peek(End::Tail).map(Item::to_vec), model.back().cloned());
}

#[test]
fn a_queue_of_any_length_passes_elements_in_order() {
    let limits = limits(-2);
    let mut list = List::new();
    for number in 0..50_000u32 {
        list.push(End::Tail, format!("job:{number}").as_bytes(), &limits);
    }
    assert!(list.heap_bytes() < 50_000 * 13, "{}", list.heap_bytes());
    for number in 0..50_000u32 {
        assert!(list.peek(End::Head).unwrap().is(format!("job:{number}").as_bytes()));
        list.drop_end(End::Head, 1);
    }
    assert_eq!((list.len(), list.heap_bytes()), (0, 0));
}

#[test]
fn pushing_at_the_head_reverses() {
    let limits = limits(-2);
    let mut list = List::new();
    for number in 0..20_000i64 {
        list.push(End::Head, number.to_string().as_bytes(), &limits);
    }
    for rank in (0..20_000).step_by(371) {
        assert_eq!(list.get(rank).and_then(Item::integer), Some(19_999 - rank as i64));
    }
    assert!(list.iter_from(19_990, false).filter_map(Item::integer).eq((0..10).rev()));
}

#[test]
fn an_element_larger_than_a_node_has_a_node_of_its_own() {
    let limits = limits(-1);
    let mut list = List::new();
    let large = vec![b'x'; 100_000];
    for _ in 0..3 {
        list.push(End::Tail, b"small", &limits);
        list.push(End::Tail, &large, &limits);
    }
    assert!(list.heap_bytes() < 3 * 108_000);
    assert!(list.set(2, &large, &limits) && list.set(0, b"a", &limits) && list.set(1, b"b", &limits));
    list.insert_before(1, &large, &limits);
    let lengths: Vec<_> = list.iter().map(Item::text_len).collect();
    assert_eq!(lengths, [1, 100_000, 1, 100_000, 100_000, 5, 100_000]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn editing_equals_editing_a_deque(
        seed in any::<u64>(),
        node_size in prop::sample::select(vec![-5i64, -2, -1, 0, 1, 3, 100]),
        steps in prop::sample::select(vec![20usize, 300, 3_000]),
        pops in 5..45u32,
    ) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let limits = limits(node_size);
        let (mut list, mut model) = (List::new(), VecDeque::new());
        let mut kept: Option<(List, VecDeque<Vec<u8>>)> = None;
        for step in 0..steps {
            let value = match rng.random_range(0..40) {
                0 => vec![b'l'; rng.random_range(0..10_000)],
                1..10 => vec![b'm'; rng.random_range(0..300)],
                10..20 => b"same".to_vec(),
                _ => rng.random_range(-100..100_000i64).to_string().into_bytes(),
            };
            let rank = rng.random_range(0..=model.len());
            match rng.random_range(0..100) {
                kind if kind < pops => {
                    let count = rng.random_range(1..4usize).min(model.len());
                    if kind % 2 == 0 {
                        list.drop_end(End::Head, count);
                        model.drain(..count);
                    } else {
                        list.drop_end(End::Tail, count);
                        model.truncate(model.len() - count);
                    }
                }
                45..50 => {
                    let most = rng.random_range(1..4);
                    let wanted = if rng.random() { b"same".to_vec() } else { value };
                    let from = if rng.random() { End::Head } else { End::Tail };
                    let matching = model.iter().enumerate().filter(|(_, other)| **other == wanted).map(|(at, _)| at);
                    let mut places: Vec<usize> = matching.collect();
                    if from == End::Head {
                        places.truncate(most);
                    } else {
                        places.drain(..places.len().saturating_sub(most));
                    }
                    for place in places.iter().rev() {
                        model.remove(*place);
                    }
                    prop_assert_eq!(list.remove_equal(&wanted, most, from), places.len());
                }
                50..65 => {
                    list.insert_before(rank, &value, &limits);
                    model.insert(rank, value);
                }
                65..75 => {
                    prop_assert_eq!(list.set(rank, &value, &limits), rank < model.len());
                    if rank < model.len() {
                        model[rank] = value;
                    }
                }
                kind if kind % 2 == 0 => {
                    list.push(End::Head, &value, &limits);
                    model.push_front(value);
                }
                _ => {
                    list.push(End::Tail, &value, &limits);
                    model.push_back(value);
                }
            }
            prop_assert_eq!(list.len(), model.len());
            prop_assert_eq!(list.get(rank).map(Item::to_vec), model.get(rank).cloned());
            if step == steps / 2 {
                kept = Some((list.clone(), model.clone()));
            }
        }
        check(&list, &model);
        let rank = rng.random_range(0..=model.len());
        prop_assert!(list.iter_from(rank, false).map(Item::to_vec).eq(model.iter().skip(rank).cloned()));
        if rank < model.len() {
            prop_assert!(list.iter_from(rank, true).map(Item::to_vec).eq(model.iter().take(rank + 1).rev().cloned()));
            let count = rng.random_range(0..=model.len() - rank);
            list.remove_range(rank, count);
            model.drain(rank..rank + count);
        }
        list.remove_equal(b"same", usize::MAX, End::Tail);
        model.retain(|value| value != b"same");
        check(&list, &model);
        if let Some((list, model)) = kept {
            check(&list, &model);
        }
    }
}
