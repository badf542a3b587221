//! LCS: the longest common subsequence of two strings.

use slotway_common::error::Error;

use crate::call::Call;

/// Bytes of one cell of the table of lengths.
const CELL: usize = size_of::<u32>();

#[derive(Default)]
struct Options {
    length: bool,
    indexes: bool,
    match_lengths: bool,
    shortest: i64,
}

impl Options {
    fn parse(call: &Call<'_>) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut index = 3;
        while index < call.args.len() {
            if call.args.is(index, "IDX") {
                options.indexes = true;
            } else if call.args.is(index, "LEN") {
                options.length = true;
            } else if call.args.is(index, "WITHMATCHLEN") {
                options.match_lengths = true;
            } else if call.args.is(index, "MINMATCHLEN") && index + 1 < call.args.len() {
                options.shortest = call.integer(index + 1)?.max(0);
                index += 1;
            } else {
                return Err(Error::Syntax);
            }
            index += 1;
        }
        if options.indexes && options.length {
            return Err(Error::err("If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

pub(super) fn lcs(call: &mut Call<'_>) -> Result<(), Error> {
    let (first, second, db) = (call.key(1), call.key(2), call.db);
    call.engine.touch(db, &first);
    call.engine.touch(db, &second);
    let not_strings = |_| Error::err("The specified keys must contain string values");
    let a = call.engine.peek_string(db, &first).map_err(not_strings)?.unwrap_or_default();
    let b = call.engine.peek_string(db, &second).map_err(not_strings)?.unwrap_or_default();
    let options = Options::parse(call)?;
    let bytes = (a.len() + 1).checked_mul(b.len() + 1).and_then(|cells| cells.checked_mul(CELL));
    if bytes.is_none_or(|bytes| bytes > call.engine.limits.max_string) {
        return Err(Error::err("Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
    }
    let table = Table::of(a, b);
    if options.length {
        call.reply.len(table.length());
        return Ok(());
    }
    let (text, ranges) = table.walk(a, b);
    if !options.indexes {
        call.reply.bulk(&text);
        return Ok(());
    }
    let reply = &mut call.reply;
    reply.map(2);
    reply.bulk(b"matches");
    let ranges: Vec<_> = ranges.into_iter().filter(|range| range.length as i64 >= options.shortest).collect();
    reply.array(ranges.len());
    for Match { a, b, length } in ranges {
        reply.array(2 + usize::from(options.match_lengths));
        for start in [a, b] {
            reply.array(2);
            reply.len(start);
            reply.len(start + length - 1);
        }
        if options.match_lengths {
            reply.len(length);
        }
    }
    reply.bulk(b"len");
    reply.len(table.length());
    Ok(())
}

/// A stretch that both strings have: where it begins in each, and its length.
struct Match {
    a: usize,
    b: usize,
    length: usize,
}

/// Lengths of the longest common subsequences of all prefixes (the textbook's dynamic programme).
struct Table {
    cells: Vec<u32>,
    width: usize,
}

impl Table {
    fn of(a: &[u8], b: &[u8]) -> Self {
        let width = b.len() + 1;
        let mut cells = vec![0u32; (a.len() + 1) * width];
        for (row, x) in a.iter().enumerate() {
            for (column, y) in b.iter().enumerate() {
                let above = row * width + column;
                cells[above + width + 1] =
                    if x == y { cells[above] + 1 } else { cells[above + 1].max(cells[above + width]) };
            }
        }
        Self { cells, width }
    }

    fn at(&self, row: usize, column: usize) -> u32 {
        self.cells[row * self.width + column]
    }

    fn length(&self) -> usize {
        self.cells.last().map_or(0, |length| *length as usize)
    }

    /// Walks back from the ends: the subsequence, and its stretches from the last to the first.
    fn walk(&self, a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<Match>) {
        let (mut i, mut j) = (a.len(), b.len());
        let mut text = Vec::with_capacity(self.length());
        let mut matches: Vec<Match> = Vec::new();
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                text.push(a[i - 1]);
                match matches.last_mut() {
                    Some(last) if last.a == i && last.b == j => {
                        (last.a, last.b) = (i - 1, j - 1);
                        last.length += 1;
                    }
                    _ => matches.push(Match { a: i - 1, b: j - 1, length: 1 }),
                }
                i -= 1;
                j -= 1;
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        text.reverse();
        (text, matches)
    }
}
