//! Glob patterns as in KEYS, SCAN MATCH and CONFIG GET.

/// True when `text` matches `pattern`: `*`, `?`, `[a-z]`, `[^a]` and `\` to escape, byte by byte.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_with(pattern, text, false)
}

/// As [`matches`], ASCII case ignored.
#[must_use]
pub fn matches_ignoring_case(pattern: &[u8], text: &[u8]) -> bool {
    matches_with(pattern, text, true)
}

/// Iterative: on a mismatch only the last `*` is tried again, so the cost is at most the product
/// of both lengths, whatever the pattern.
fn matches_with(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            while pattern.get(p) == Some(&b'*') {
                p += 1;
            }
            if p == pattern.len() {
                return true;
            }
            retry = Some((p, t));
            continue;
        }
        let step = match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (Some(_), Some(&byte)) => one(&pattern[p..], byte, fold),
            _ => None,
        };
        if let Some(length) = step {
            p += length;
            t += 1;
            continue;
        }
        match retry {
            Some((after_star, start)) if start < text.len() => {
                p = after_star;
                t = start + 1;
                retry = Some((after_star, t));
            }
            _ => return false,
        }
    }
}

/// Matches one byte against the element that `pattern` begins with; gives the element's length.
fn one(pattern: &[u8], byte: u8, fold: bool) -> Option<usize> {
    let lower = |byte: u8| if fold { byte.to_ascii_lowercase() } else { byte };
    let same = |a: u8, b: u8| lower(a) == lower(b);
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', ..] => class(pattern, byte, fold),
        [b'\\', escaped, ..] => same(*escaped, byte).then_some(2),
        [literal, ..] => same(*literal, byte).then_some(1),
        [] => None,
    }
}

fn class(pattern: &[u8], byte: u8, fold: bool) -> Option<usize> {
    let lower = |byte: u8| if fold { byte.to_ascii_lowercase() } else { byte };
    let byte = lower(byte);
    let mut index = 1;
    let negated = pattern.get(index) == Some(&b'^');
    index += usize::from(negated);
    let mut found = false;
    // An unclosed class ends with the pattern.
    while let Some(rest) = pattern.get(index..)
        && !rest.is_empty()
    {
        match rest {
            [b'\\', escaped, ..] => {
                found |= lower(*escaped) == byte;
                index += 2;
            }
            [b']', ..] => {
                index += 1;
                return (found != negated).then_some(index);
            }
            [start, b'-', end, ..] => {
                let (low, high) = (lower(*start.min(end)), lower(*start.max(end)));
                found |= (low..=high).contains(&byte);
                index += 3;
            }
            [literal, ..] => {
                found |= lower(*literal) == byte;
                index += 1;
            }
            [] => break,
        }
    }
    (found != negated).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("h?llo", "hello", true),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hbllo", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a*b*c", "aXXbYYc", true),
            ("a*b*c", "aXXbYY", false),
            ("[", "a", false),
            ("[a", "a", true),
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("foo*", "foo", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
        assert!(matches_ignoring_case(b"MAX*", b"maxmemory"));
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = "a*".repeat(60) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(3000).as_bytes()));
    }
}
