//! What must hold for any bytes at all, for the fuzz targets (`tests/fuzz`) and for the bounded run among the tests.
//!
//! Each property takes bytes and panics when it does not hold. [`Inputs`] makes bytes that are often nearly right,
//! since those come further than random ones.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use slotway_common::resp::Value;
use slotway_common::resp::frame::{Progress, Scanner};
use slotway_common::resp::request::{Limits, Parsed, Parser, ProtocolError};

/// Longest input that the properties take: below it no limit depends on how the bytes arrived.
pub const LONGEST: usize = 32 * 1024;

/// What a parser made of all its input: the requests, then the bytes left over or the error.
#[derive(Debug, PartialEq, Eq)]
struct Requests {
    requests: Vec<(Vec<Vec<u8>>, usize)>,
    rest: Result<usize, ProtocolError>,
}

/// Reads all requests of `input`, which arrives in pieces that end at `cuts` (ascending).
fn requests(input: &[u8], cuts: &[usize], authenticated: bool) -> Requests {
    let limits = Limits { authenticated, max_bulk: 1 << 20 };
    let mut found = Requests { requests: Vec::new(), rest: Ok(0) };
    let mut parser = Parser::new();
    let mut start = 0;
    for &end in cuts.iter().chain([&input.len()]) {
        let arrived = &input[..end];
        while start < arrived.len() {
            let frame = &arrived[start..];
            match parser.parse(frame, &limits) {
                Ok(Parsed::Frame(length)) => {
                    assert!(
                        length > 0 && length <= frame.len(),
                        "a frame of {length} of {} bytes",
                        frame.len()
                    );
                    let args = parser.args(frame);
                    found.requests.push((args.iter().map(<[u8]>::to_vec).collect(), length));
                    start += length;
                }
                Ok(Parsed::Incomplete) => {
                    assert!(
                        parser.needed() == 0 || parser.needed() > frame.len(),
                        "an incomplete frame has all that it needs"
                    );
                    break;
                }
                Err(error) => {
                    found.rest = Err(error);
                    return found;
                }
            }
        }
    }
    found.rest = Ok(input.len() - start);
    found
}

/// Requests are read the same however their bytes arrive, and read again what they were encoded from.
///
/// # Panics
/// When they are not.
pub fn requests_do_not_depend_on_pieces(input: &[u8]) {
    let input = &input[..input.len().min(LONGEST)];
    for authenticated in [true, false] {
        let whole = requests(input, &[], authenticated);
        let bytewise: Vec<usize> = (1..input.len()).collect();
        assert_eq!(whole, requests(input, &bytewise, authenticated), "byte by byte");
        // Every single cut of a long input would take long and find little more.
        for cut in 1..input.len().min(256) {
            assert_eq!(whole, requests(input, &[cut], authenticated), "cut at {cut}");
        }
        if let Err(error) = &whole.rest {
            let line = error.to_string();
            assert!(!line.contains(['\r', '\n']), "an error of more than one line: {line:?}");
        }
        for (args, _) in whole.requests.iter().filter(|(args, _)| !args.is_empty()) {
            let mut encoded = Vec::new();
            slotway_common::resp::request::encode(args.iter().map(Vec::as_slice), &mut encoded);
            let again = requests(&encoded, &[], true);
            assert_eq!(again.requests, [(args.clone(), encoded.len())]);
        }
    }
}

/// The first reply of `input`, which arrives in pieces that end at `cuts`: its length and type byte, `None` while it is
/// incomplete, or an error.
fn first_reply(input: &[u8], cuts: impl Iterator<Item = usize>) -> Result<Option<(usize, u8)>, ()> {
    let mut scanner = Scanner::new();
    let mut from = 0;
    for to in cuts.chain([input.len()]) {
        match scanner.scan(&input[from..to]) {
            Ok(Progress::Complete(length)) => {
                assert!(length > 0 && scanner.is_idle());
                return Ok(Some((from + length, scanner.kind())));
            }
            Ok(Progress::Partial) => from = to,
            Err(_) => return Err(()),
        }
    }
    Ok(None)
}

/// The scanner finds the same end of a reply however it arrives, and where the decoder finds it.
///
/// The two may differ in what they refuse: the scanner does not look into lines, and the decoder knows no streamed
/// types.
///
/// # Panics
/// When they do not agree.
pub fn scanner_and_decoder_agree(input: &[u8]) {
    let input = &input[..input.len().min(LONGEST)];
    let whole = first_reply(input, std::iter::empty());
    assert_eq!(whole, first_reply(input, 1..input.len()), "byte by byte");
    for cut in 1..input.len().min(256) {
        assert_eq!(whole, first_reply(input, std::iter::once(cut)), "cut at {cut}");
    }
    match (Value::parse(input), whole) {
        (Ok(Some((_, length))), Ok(Some((end, _)))) => assert_eq!(length, end, "different ends"),
        (Ok(Some(_)), _) => panic!("decoded, but not framed: {whole:?}"),
        (Ok(None), Ok(Some(_))) => panic!("framed as complete, but the decoder wants more"),
        (Ok(None) | Err(_), _) => {}
    }
    if let Ok(Some((value, length))) = Value::parse(input) {
        // Showing it does not panic either, and what follows a reply does not matter to it.
        let _ = value.to_string();
        let alone = Value::parse(&input[..length]).ok().flatten().map(|(value, _)| value.to_string());
        assert_eq!(alone, Some(value.to_string()));
    }
}

/// Random and mutated inputs, the same for the same seed.
pub struct Inputs {
    random: SmallRng,
    samples: &'static [&'static [u8]],
}

/// Bytes that matter to the protocol.
const TELLING: &[u8] = b"\r\n*$:+-_#,(!=%~>|;.?0123456789\"'\\x \0\t\xff";

impl Inputs {
    /// Inputs made of these samples.
    pub fn new(seed: u64, samples: &'static [&'static [u8]]) -> Inputs {
        Inputs { random: SmallRng::seed_from_u64(seed), samples }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = Vec::new();
        if self.random.random_ratio(1, 8) {
            for _ in 0..self.random.random_range(0..64) {
                let byte = self.byte();
                input.push(byte);
            }
            return input;
        }
        for _ in 0..self.random.random_range(1..5) {
            input.extend_from_slice(self.samples[self.random.random_range(0..self.samples.len())]);
        }
        for _ in 0..self.random.random_range(0..6) {
            self.mutate(&mut input);
        }
        input
    }

    fn byte(&mut self) -> u8 {
        if self.random.random_ratio(1, 4) {
            self.random.random()
        } else {
            TELLING[self.random.random_range(0..TELLING.len())]
        }
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let at = self.random.random_range(0..=input.len());
        let to = self.random.random_range(at..=input.len().min(at + 16));
        match self.random.random_range(0..6) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..to)),
            2 => {
                let copy = input[at..to].to_vec();
                input.splice(at..at, copy);
            }
            3 => {
                let number = [-2, -1, 0, 1, 2, 10, 11, 16_385, 1 << 20, i64::from(u32::MAX), i64::MAX];
                let text = number[self.random.random_range(0..number.len())].to_string();
                input.splice(at..at, text.into_bytes());
            }
            4 => {
                let byte = self.byte();
                input.insert(at, byte);
            }
            _ => {
                let byte = self.byte();
                if let Some(place) = input.get_mut(at) {
                    *place = byte;
                }
            }
        }
    }
}

/// Requests to start from.
pub const REQUESTS: &[&[u8]] = &[
    b"*1\r\n$4\r\nPING\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n",
    b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n",
    b"*12\r\n$4\r\nMGET\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n$1\r\ng\r\n$1\r\nh\r\n$1\r\ni\r\n$1\r\nj\r\n$1\r\nk\r\n",
    b"*2\r\n$4\r\nECHO\r\n$20\r\n\r\n$4\r\n*1\r\n01234567890\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"PING\r\n",
    b"\r\n",
    b"SET \"a \\x41\\n\" 'it\\'s'\n",
    b"  get\tkey  \n",
    b"\"\"\r\n",
];

/// Replies to start from.
pub const REPLIES: &[&[u8]] = &[
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":-12\r\n",
    b"$5\r\nhello\r\n",
    b"$0\r\n\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*2\r\n*2\r\n+a\r\n*0\r\n$-1\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",3.25\r\n",
    b",-inf\r\n",
    b"(3492890328409238509324850943850943825024385\r\n",
    b"!9\r\nSYNTAX no\r\n",
    b"=7\r\ntxt:abc\r\n",
    b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n",
    b"~2\r\n:1\r\n$1\r\na\r\n",
    b">3\r\n+message\r\n+c\r\n$2\r\nhi\r\n",
    b"|1\r\n+ttl\r\n:3600\r\n$1\r\nv\r\n",
    b"*2\r\n|0\r\n:1\r\n:2\r\n",
    b"$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n",
    b"*?\r\n:1\r\n*2\r\n:2\r\n:3\r\n.\r\n",
    b"%?\r\n+a\r\n:1\r\n.\r\n",
];
