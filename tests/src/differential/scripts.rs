//! Scripts, sent to a real redis-server and to Slotway, their replies compared: a list of fixed ones for what each function and
//! each error looks like, and random ones.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use slotway_common::resp::Value;

use super::{Plan, TOLD, reset};
use crate::client::Client;

/// One script a line, in this order; `⏎` stands for a line's end.
const FIXED: &str = include_str!("scripts/fixed.txt");

/// Calls of FUNCTION, FCALL and SCRIPT, one a line, their words separated by tabs.
const FUNCTIONS: &str = include_str!("scripts/functions.txt");

/// What all scripts are called with: keys of one slot, and arguments.
const ARGUMENTS: [&str; 5] = ["2", "{t}a", "{t}b", "1", "two"];

/// Runs the fixed scripts, then random ones, on both servers.
///
/// # Errors
/// When a connection breaks, or with a report of the differences found.
pub fn run(plan: &Plan, oracle: SocketAddr, subject: SocketAddr) -> Result<()> {
    let connect = |address| Client::connect_with(address, plan.resp3);
    let (mut oracle, mut subject) = (connect(oracle)?, connect(subject)?);
    reset(&mut oracle, &mut subject)?;
    let mut writer = Writer { random: StdRng::seed_from_u64(plan.seed) };
    let fixed = FIXED.lines().map(|line| line.replace('⏎', "\n"));
    let random = std::iter::repeat_with(|| writer.script()).take(plan.commands);
    let (mut report, mut differences) = (String::new(), 0);
    for script in fixed.chain(random) {
        let mut request = vec!["EVAL", &script];
        request.extend(ARGUMENTS);
        let (expected, given) = (oracle.call_raw(&request)?, subject.call_raw(&request)?);
        if expected != given {
            differences += 1;
            let (expected, given) = (expected.escape_ascii(), given.escape_ascii());
            writeln!(report, "\n{script}\n  redis:   {expected}\n  slotway: {given}")?;
            if differences >= TOLD {
                break;
            }
        }
    }
    if differences > 0 {
        bail!("{differences} differences, with SLOTWAY_SEED={}:{report}", plan.seed);
    }
    Ok(())
}

/// Makes the calls of functions on both servers.
///
/// # Errors
/// When a connection breaks, or with a report of the differences found.
pub fn run_functions(oracle: SocketAddr, subject: SocketAddr, resp3: bool) -> Result<()> {
    let connect = |address| Client::connect_with(address, resp3);
    let (mut oracle, mut subject) = (connect(oracle)?, connect(subject)?);
    reset(&mut oracle, &mut subject)?;
    let mut report = String::new();
    for line in FUNCTIONS.lines() {
        let line = line.replace('⏎', "\n");
        let words: Vec<&str> = line.split('\t').collect();
        let (expected, given) = (oracle.call_raw(&words)?, subject.call_raw(&words)?);
        if expected != given && !(is_list(&words) && elements(&expected) == elements(&given)) {
            let (expected, given) = (expected.escape_ascii(), given.escape_ascii());
            writeln!(report, "\n{line}\n  redis:   {expected}\n  slotway: {given}")?;
        }
    }
    if !report.is_empty() {
        bail!("functions differ:{report}");
    }
    Ok(())
}

/// Libraries are listed in no order.
fn is_list(words: &[&str]) -> bool {
    matches!(words, [function, list, ..] if function.eq_ignore_ascii_case("function") && list.eq_ignore_ascii_case("list"))
}

/// The elements of an array in one order, whatever theirs is.
fn elements(reply: &[u8]) -> Option<Vec<String>> {
    let (value, _) = Value::parse(reply).ok().flatten()?;
    let mut elements: Vec<String> = value.as_array()?.iter().map(|element| format!("{element:?}")).collect();
    elements.sort();
    Some(elements)
}

/// Writes random scripts.
struct Writer {
    random: StdRng,
}

impl Writer {
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.choose(&mut self.random).copied().unwrap_or_default()
    }

    fn script(&mut self) -> String {
        match self.random.random_range(0..12) {
            0 => format!("return {}", self.value(3)),
            1 => format!("return cjson.encode({})", self.value(3)),
            2 => format!("return {{cjson.decode({})}}", self.json()),
            3 => format!("local v=cjson.decode(cjson.encode({})) return v", self.value(3)),
            4 => format!("return cmsgpack.pack({},{})", self.value(3), self.value(1)),
            5 => format!("return {{cmsgpack.unpack(cmsgpack.pack({},{}))}}", self.value(3), self.value(1)),
            6 => format!("return {{pcall(cmsgpack.unpack,{})}}", self.bytes()),
            7 => format!(
                "return {{pcall(struct.pack,\"{}\",{},{})}}",
                self.format(),
                self.value(0),
                self.value(0)
            ),
            8 => format!("return {{pcall(struct.unpack,\"{}\",{})}}", self.format(), self.bytes()),
            9 => self.bits(),
            _ => self.commands(),
        }
    }

    fn number(&mut self) -> String {
        match self.random.random_range(0..7) {
            0 => self.random.random_range(-10..300).to_string(),
            1 => self.random.random::<i64>().to_string(),
            2 => {
                format!("{:e}", f64::from_bits(self.random.random())).replace("NaN", "1").replace("inf", "1")
            }
            3 => self.random.random_range(-2.0..2.0_f64).to_string(),
            4 => self.one(&["0/0", "1/0", "-1/0", "-0", "2^31", "2^53", "2^63", "-2^63", "1e15"]).to_owned(),
            5 => (1_i64 << self.random.random_range(0..63)).to_string(),
            _ => self.random.random_range(0..70_000).to_string(),
        }
    }

    /// A string of Lua with any bytes.
    fn bytes(&mut self) -> String {
        let length = self.random.random_range(0..24);
        let bytes = (0..length).map(|_| format!("\\{:03}", self.random.random::<u8>()));
        format!("\"{}\"", bytes.collect::<String>())
    }

    fn value(&mut self, depth: usize) -> String {
        match self.random.random_range(0..if depth == 0 { 6 } else { 10 }) {
            0 => self.one(&["nil", "true", "false", "cjson.null"]).to_owned(),
            1 | 2 => self.number(),
            3 => self.bytes(),
            4 => format!(
                "\"{}\"",
                self.one(&["", "a", "key", "12", "1.5", "0x10", "é", "a b/c", "\\n\\\"\\\\"])
            ),
            5 => self.one(&["KEYS", "ARGV", "{}", "#KEYS", "{{}}", "tostring(1.5)"]).to_owned(),
            6 | 7 => {
                let length = self.random.random_range(0..5);
                let items: Vec<String> = (0..length).map(|_| self.value(depth - 1)).collect();
                format!("{{{}}}", items.join(","))
            }
            _ => {
                let length = self.random.random_range(0..4);
                let items: Vec<String> = (0..length)
                    .map(|_| {
                        let name = match self.random.random_range(0..4) {
                            0 => format!("[{}]", self.random.random_range(-1..15)),
                            1 => self.one(&["[1.5]", "[true]", "[\"a b\"]", "[2^53]"]).to_owned(),
                            _ => self.one(&["a", "b", "err", "ok", "map", "set", "double", "x1"]).to_owned(),
                        };
                        format!("{name}={}", self.value(depth - 1))
                    })
                    .collect();
                format!("{{{}}}", items.join(","))
            }
        }
    }

    /// A text that is JSON, or nearly.
    fn json(&mut self) -> String {
        let mut text = String::new();
        self.json_value(3, &mut text);
        if self.random.random_ratio(1, 3) && !text.is_empty() {
            let at = self.random.random_range(0..text.len());
            if text.is_char_boundary(at) {
                let piece = self.one(&["", ",", "]", "}", "\"", "x", " ", "1", "-", "e", "\\", "[", ":"]);
                text.replace_range(at..(at + 1).min(text.len()), piece);
            }
        }
        let escaped: String = text.bytes().map(|byte| format!("\\{byte:03}")).collect();
        format!("\"{escaped}\"")
    }

    fn json_value(&mut self, depth: usize, out: &mut String) {
        match self.random.random_range(0..if depth == 0 { 4 } else { 7 }) {
            0 => out.push_str(self.one(&["null", "true", "false", "nan", "-inf", "Infinity", "nul"])),
            1 | 2 => out.push_str(self.one(&[
                "0",
                "1",
                "-1",
                "1.5",
                "1e5",
                "-0.25E-3",
                "01",
                "0x1f",
                "+1",
                "1.",
                ".5",
                "123456789012345678",
            ])),
            3 => out.push_str(self.one(&[
                "\"\"",
                "\"abc\"",
                "\"\\n\\t\\\\\\/\"",
                "\"\\u00e9\"",
                "\"\\ud83d\\ude00\"",
                "\"\\ud83d\"",
                "\"\\x\"",
            ])),
            4 | 5 => {
                out.push('[');
                for index in 0..self.random.random_range(0..4) {
                    out.push_str(if index > 0 { ", " } else { "" });
                    self.json_value(depth - 1, out);
                }
                out.push(']');
            }
            _ => {
                out.push('{');
                for index in 0..self.random.random_range(0..4) {
                    out.push_str(if index > 0 { "," } else { " " });
                    out.push_str(self.one(&["\"a\":", "\"b\" : ", "\"\":", "a:", "\"c\""]));
                    self.json_value(depth - 1, out);
                }
                out.push('}');
            }
        }
    }

    fn format(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.random.random_range(1..5) {
            text.push_str(self.one(&[
                "b",
                "B",
                "h",
                "H",
                "l",
                "L",
                "T",
                "f",
                "d",
                "s",
                "x",
                "i",
                "I2",
                "i3",
                "i8",
                "I16",
                "c0",
                "c4",
                "c",
                " ",
                ">",
                "<",
                "!",
                "!4",
                "!3",
                "z",
                "i40",
                "c99999999999",
            ]));
        }
        text
    }

    fn bits(&mut self) -> String {
        let name = self.one(&[
            "tobit", "bnot", "band", "bor", "bxor", "lshift", "rshift", "arshift", "rol", "ror", "bswap",
            "tohex",
        ]);
        format!("return {{pcall(bit.{name},{},{})}}", self.number(), self.number())
    }

    /// Calls of commands whose replies have an order.
    fn commands(&mut self) -> String {
        let mut script = String::from("local r={} ");
        if self.random.random_ratio(1, 3) {
            script.push_str("redis.setresp(3) ");
        }
        for _ in 0..self.random.random_range(1..6) {
            let key = self.one(&["KEYS[1]", "KEYS[2]"]);
            let value = match self.random.random_range(0..3) {
                0 => self.number(),
                1 => self.bytes(),
                _ => "ARGV[2]".to_owned(),
            };
            let words = match self.random.random_range(0..22) {
                0 => format!("\"set\",{key},{value}"),
                1 => format!("\"get\",{key}"),
                2 => format!("\"incrby\",{key},{value}"),
                3 => format!("\"append\",{key},{value}"),
                4 => format!("\"rpush\",{key},{value},{value}"),
                5 => format!("\"lrange\",{key},0,-1"),
                6 => format!("\"lpop\",{key}"),
                7 => format!("\"hset\",{key},\"f\",{value}"),
                8 => format!("\"hgetall\",{key}"),
                9 => format!("\"zadd\",{key},{value},\"m\""),
                10 => format!("\"zrange\",{key},0,-1,\"withscores\""),
                11 => format!("\"zscore\",{key},\"m\""),
                12 => format!("\"del\",{key}"),
                13 => format!("\"type\",{key}"),
                14 => format!("\"exists\",{key},KEYS[1]"),
                15 => format!("\"setrange\",{key},2,{value}"),
                16 => format!("\"strlen\",{key}"),
                17 => format!("\"sadd\",{key},{value}"),
                18 => format!("\"scard\",{key}"),
                19 => format!("\"incrbyfloat\",{key},{value}"),
                20 => format!("\"nosuch\",{key}"),
                _ => "\"select\",1".to_owned(),
            };
            let call = self.one(&["call", "pcall", "pcall", "pcall"]);
            write!(script, "r[#r+1]=redis.{call}({words}) ").unwrap_or_default();
        }
        script.push_str(self.one(&["return r", "return {#r,r}", "return r[1]", "return cjson.encode(#r)"]));
        script
    }
}
