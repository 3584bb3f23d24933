//! One of several equal parts of an exposition, for scrapers that bound the size of a scrape.

use crate::model::RuntimeId;

/// Parts that an exposition may have at most.
const MOST_SHARDS: u16 = 64;

/// The `index`-th of `count` parts: some of the components, with all of their series. Which part a
/// component is in depends on its id alone, so that every server says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u16,
    count: u16,
}

impl Shard {
    /// `2/4` is the second of four.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("must be as 2/4: a number from 1 on, of at most {MOST_SHARDS}");
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        // Digits alone: Rust's numbers may have a sign.
        let number =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        match (number(index), number(count)) {
            (Some(index @ 1..), Some(count @ 1..=MOST_SHARDS)) if index <= count => Ok(Self { index, count }),
            _ => Err(wrong()),
        }
    }

    pub(super) fn has(self, id: RuntimeId) -> bool {
        // Ids are times and numbers within a millisecond: multiplied so, their upper half is even.
        let even = id.0.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        (even * u64::from(self.count)) >> 32 == u64::from(self.index - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_component_is_in_one_part_and_parts_are_about_equal() {
        for count in [1, 2, 3, 7, MOST_SHARDS] {
            let shards: Vec<Shard> =
                (1..=count).map(|index| Shard::parse(&format!("{index}/{count}")).unwrap()).collect();
            let mut sizes = vec![0; shards.len()];
            // As servers make them: of a millisecond and a number in it.
            for n in 0..10_000_i64 {
                let id = RuntimeId(((384_490_139_864 + n / 3) << 20) + n % 3 + 1);
                let holders: Vec<usize> = (0..shards.len()).filter(|i| shards[*i].has(id)).collect();
                assert_eq!(holders.len(), 1);
                sizes[holders[0]] += 1;
            }
            let fair = 10_000 / usize::from(count);
            assert!(sizes.iter().all(|size| (fair / 2..=fair * 2).contains(size)), "{count}: {sizes:?}");
        }
        assert!(Shard::parse("1/1").unwrap().has(RuntimeId(-1)));
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for text in
            ["", "1", "/", "0/4", "5/4", "1/0", "1/65", "+1/4", "1/ 4", "1/4/4", "a/b", "99999999999/4"]
        {
            assert!(Shard::parse(text).unwrap_err().contains("2/4"), "{text}");
        }
    }
}
