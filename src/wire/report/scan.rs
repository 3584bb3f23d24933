//! A report as most programs write it, taken apart without a general parser: that one looks at every
//! byte two times and more, which is most of what a sample costs.
//!
//! What is not JSON beyond doubt, or says anything in another way than programs do (a line break or an
//! escape in a field's name, a field twice, an entry that is no object), is not read at all: the
//! general parser then decides, and words the error. So this one may refuse much, and accepts nothing
//! that the other would read differently.

use std::sync::Arc;

use super::super::json::Json;
use super::fields::plain_number;
use super::raw::{Field, Item, Items, Listed, RawReport};
use super::same::{Expected, Head, Recall, Same, Says, Shape};
use crate::model::Series;

/// Nested deeper than this, the general parser decides.
const DEPTH: usize = 32;
/// Each byte of a word.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The upper bit of each byte of a word.
const UPPER: u64 = ONES << 7;

/// Takes a body apart; nothing where the general parser has to. `recall` says what is remembered of the
/// component, once it is known which that is.
pub(super) fn read<R: Recall>(
    body: &str,
    most: usize,
    recall: impl FnOnce(Head<'_>) -> Option<R>,
) -> Option<RawReport<'_>> {
    let body = body.strip_suffix('\n').unwrap_or(body);
    // No string may hold a byte below the space, and between strings few programs write one. What is
    // no object at all is not looked through for it: it may be large.
    if !body.starts_with('{') || body.bytes().fold(u8::MAX, u8::min) < b' ' {
        return None;
    }
    let mut scan = Scan { text: body, bytes: body.as_bytes(), at: 0 };
    let report = scan.report(most, recall)?;
    scan.spaces();
    (scan.at == body.len()).then_some(report)
}

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn report<R: Recall>(
        &mut self,
        most: usize,
        recall: impl FnOnce(Head<'_>) -> Option<R>,
    ) -> Option<RawReport<'a>> {
        let mut report = RawReport::default();
        let mut recall = Some(recall);
        let mut more = self.open(b'{', b'}')?;
        while more {
            let slot = match self.key()? {
                b"metrics" if matches!(report.metrics, Items::Missing) => {
                    let known = recall.take().and_then(|recall| recall(Head::of(&report)?));
                    report.metrics = Items::List(self.items(most, known.as_ref())?);
                    more = self.more(b'}')?;
                    continue;
                }
                b"runtime_id" => Some(&mut report.runtime_id),
                b"component_name" => Some(&mut report.component_name),
                b"component_type" | b"kind" => Some(&mut report.component_type),
                b"execution_id" => Some(&mut report.execution_id),
                b"metrics" => return None,
                _ => None,
            };
            let value = self.value(DEPTH)?;
            if let Some(slot) = slot {
                if !matches!(slot, Json::Null) {
                    return None;
                }
                *slot = serde_json::from_str(value).ok()?;
            }
            more = self.more(b'}')?;
        }
        Some(report)
    }

    fn items<R: Recall>(&mut self, most: usize, recall: Option<&R>) -> Option<Vec<Listed<'a>>> {
        let mut items = Vec::new();
        let mut expected = Expected::new(recall);
        let mut more = self.open(b'[', b']')?;
        while more {
            if items.len() == most {
                return None;
            }
            let from = self.at;
            if let Some((recall, series)) = expected.next()
                && let Some((value, timestamp)) = self.same(recall, series)
            {
                items.push(Listed::Same(Same { series: Arc::clone(series), value, timestamp }));
                expected.came();
            } else {
                self.at = from;
                let item = self.item()?;
                expected.instead(&item);
                items.push(Listed::Item(Box::new(item)));
            }
            if items.len() == 1 {
                // As many as there are if all are about as long as the first.
                let others = self.bytes.len() / (self.at - from).max(1);
                items.reserve((others + others / 4).min(most));
            }
            more = self.more(b']')?;
        }
        Some(items)
    }

    /// An entry of this series, if it is written as in the last report: its value and its time.
    fn same<R: Recall>(&mut self, recall: &R, series: &Series) -> Option<(f64, Field<'a>)> {
        let (Shape { says, around: [before, between, behind] }, text) = Shape::of(series)?;
        let (mut value, mut timestamp) = (None, None);
        let before = self.take(before)?;
        match says {
            Says::TimeThenValue => timestamp = Some(self.plain_string()?),
            Says::Value | Says::ValueThenTime => value = Some(self.number_text()?),
        }
        let between = self.take(between)?;
        match says {
            Says::Value => {}
            Says::ValueThenTime => timestamp = Some(self.plain_string()?),
            Says::TimeThenValue => value = Some(self.number_text()?),
        }
        let behind = self.take(behind)?;
        let is_same = recall.text(&[before, between, behind]) == text;
        Some((plain_number(value).filter(|_| is_same)?, timestamp))
    }

    /// So many bytes, whatever they are.
    fn take(&mut self, len: usize) -> Option<&'a str> {
        let taken = self.text.get(self.at..self.at + len)?;
        self.at += len;
        Some(taken)
    }

    fn number_text(&mut self) -> Option<&'a str> {
        let from = self.at;
        self.number()?;
        self.text.get(from..self.at)
    }

    fn plain_string(&mut self) -> Option<&'a str> {
        let from = self.at;
        self.string()?.then_some(())?;
        self.text.get(from..self.at)
    }

    fn item(&mut self) -> Option<Item<'a>> {
        let mut item = Item::default();
        let from = self.at;
        let mut more = self.open(b'{', b'}')?;
        while more {
            let slot: Option<&mut Field<'a>> = match self.key()? {
                b"metric_name" => Some(&mut item.name),
                b"metric_type" => Some(&mut item.kind),
                b"metric_value" => Some(&mut item.value),
                b"timestamp" => Some(&mut item.timestamp),
                b"labels" => Some(&mut item.labels),
                b"help_text" => Some(&mut item.help),
                b"unit" => Some(&mut item.unit),
                b"buckets" => Some(&mut item.buckets),
                b"quantiles" => Some(&mut item.quantiles),
                b"sum" => Some(&mut item.sum),
                b"count" => Some(&mut item.count),
                b"exemplars" => Some(&mut item.exemplars),
                _ => None,
            };
            let value = self.value(DEPTH)?;
            if let Some(slot) = slot
                && slot.replace(value).is_some()
            {
                return None;
            }
            more = self.more(b'}')?;
        }
        item.text = self.text.get(from..self.at);
        Some(item)
    }

    /// The name of a field, and the colon.
    fn key(&mut self) -> Option<&'a [u8]> {
        self.spaces();
        let from = self.at;
        let is_plain = self.string()?;
        let key = self.bytes.get(from + 1..self.at - 1)?;
        self.spaces();
        self.expect(b':')?;
        self.spaces();
        is_plain.then_some(key)
    }

    /// A value of any type, as it is written.
    fn value(&mut self, depth: usize) -> Option<&'a str> {
        let from = self.at;
        match self.peek()? {
            b'"' => {
                self.string()?;
            }
            b'{' if depth > 0 => {
                let mut more = self.open(b'{', b'}')?;
                while more {
                    self.spaces();
                    self.string()?;
                    self.spaces();
                    self.expect(b':')?;
                    self.spaces();
                    self.value(depth - 1)?;
                    more = self.more(b'}')?;
                }
            }
            b'[' if depth > 0 => {
                let mut more = self.open(b'[', b']')?;
                while more {
                    self.value(depth - 1)?;
                    more = self.more(b']')?;
                }
            }
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => self.number()?,
        }
        self.text.get(from..self.at)
    }

    /// Goes into an object or a list; whether there is anything in it.
    fn open(&mut self, open: u8, close: u8) -> Option<bool> {
        self.spaces();
        self.expect(open)?;
        self.spaces();
        let is_empty = self.peek()? == close;
        self.at += usize::from(is_empty);
        Some(!is_empty)
    }

    /// Whether another one follows, and not the end. What comes behind the end is not part of the value.
    fn more(&mut self, close: u8) -> Option<bool> {
        self.spaces();
        let next = self.peek()?;
        if next != b',' && next != close {
            return None;
        }
        self.at += 1;
        let follows = next == b',';
        if follows {
            self.spaces();
        }
        Some(follows)
    }

    /// A string; whether it has no escapes.
    fn string(&mut self) -> Option<bool> {
        self.expect(b'"')?;
        let mut is_plain = true;
        loop {
            self.at = end_of_plain(self.bytes, self.at)?;
            self.at += 1;
            if self.bytes[self.at - 1] == b'"' {
                return Some(is_plain);
            }
            is_plain = false;
            match self.peek()? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                b'u' => {
                    let digits = self.bytes.get(self.at + 1..self.at + 5)?;
                    digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                    self.at += 5;
                }
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        self.at += usize::from(self.peek()? == b'-');
        if self.peek()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Some(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Option<()> {
        let count = self.bytes.get(self.at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }
}

/// Where the first quotation mark or backslash is, from `at` on; eight bytes at a time.
fn end_of_plain(bytes: &[u8], mut at: usize) -> Option<usize> {
    // The lowest of the bits is that of the first byte that is zero; those above it may be wrong.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & UPPER;
    while let Some(Ok(eight)) = bytes.get(at..at + 8).map(<[u8; 8]>::try_from) {
        let word = u64::from_le_bytes(eight);
        let found = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(at + rest)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// What both make of a body: nothing where this one leaves it to the general parser.
    fn both(body: &str) -> Option<(String, String)> {
        let general = || RawReport::read_general(body, 5).map_err(|e| e.to_string());
        let fast = read(body, 5, |_| None::<Infallible>).map(RawReport::without_texts);
        fast.map(|report| (format!("{:?}", Ok::<_, String>(report)), format!("{:?}", general())))
    }

    #[test]
    fn what_programs_write_is_read() {
        for body in [
            r#"{"component_name":"w","component_type":null,"metrics":[]}"#,
            r#"{"metrics": [{"metric_name": "a", "metric_value": -1.5e-7, "labels": {"a": "\u00e4\\\"", "b": ""}}, {}], "runtime_id": 7}"#,
            r#"{ "metrics" : [ { "labels" : { "a" : "b" } , "buckets" : [ ] , "quantiles" : { } , "unit" : "s" } ] } "#,
            "{\"x\":[1,{\"y\":[true,false,null]}],\"kind\":\"k\",\"metrics\":[{\"timestamp\":\"2024\",\"new\":[]}]}\n",
        ] {
            let (fast, general) = both(body).unwrap();
            assert_eq!(fast, general);
        }
    }

    #[test]
    fn what_is_doubtful_is_left_to_the_general_parser() {
        for body in [
            "{}x",
            "{",
            "[]",
            "",
            "7",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":+1}",
            "{\"a\":1e}",
            "{\"a\":-}",
            "{\"a\":tru}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12g4\"}",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{\"a\":\"\u{1}\"}",
            "{\n}",
            r#"{"metrics":[{"sum":1,"sum":2}]}"#,
            r#"{"metrics":[],"metrics":[]}"#,
            r#"{"metrics":[1]}"#,
            r#"{"metrics":[{},{},{},{},{},{}]}"#,
            r#"{"metrics":[{},]}"#,
            r#"{"\u0061":1}"#,
            r#"{"runtime_id":1e999}"#,
            r#"{"kind":"a","component_type":"b"}"#,
        ] {
            assert_eq!(both(body), None, "{body}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(both(&deep), None);
    }

    /// Texts that are nearly JSON.
    fn nearly_json() -> impl Strategy<Value = String> {
        let parts = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\"",
            "\\",
            "\\\"",
            "\\u00e4",
            "ä",
            "\u{7f}",
            "0",
            "1",
            "-",
            ".",
            "e",
            "E+",
            "true",
            "null",
            "\"metrics\":[",
            "{\"metric_name\":\"a\"",
            "\"metric_value\":",
            "\"labels\":{",
            "\"kind\":",
            "\n",
            "\t",
        ];
        prop::collection::vec(prop::sample::select(parts.to_vec()), 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_read_is_what_the_general_parser_reads(
            texts in prop::collection::vec(nearly_json(), 1..3),
            frame in prop::sample::select(vec![
                ("", ""), ("{\"metrics\":[", "]}"), ("{\"metrics\":[{\"labels\":", "}]}"), ("{\"metrics\":[{\"metric_value\":", "}]}"),
                ("{\"component_name\":\"", "\",\"metrics\":[]}"), ("{\"x\":", "}"),
            ]),
        ) {
            let body = format!("{}{}{}", frame.0, texts.concat(), frame.1);
            if let Some((fast, general)) = both(&body) {
                prop_assert_eq!(fast, general, "{}", body);
            }
        }

        #[test]
        fn strings_end_where_they_end(text in "[a\"\\\\ä]{0,40}", from in 0_usize..40) {
            let plain = text.bytes().enumerate().skip(from).find(|(_, b)| matches!(b, b'"' | b'\\')).map(|(at, _)| at);
            prop_assert_eq!(end_of_plain(text.as_bytes(), from), plain);
        }
    }
}
