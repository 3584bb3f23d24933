//! Entries that are written as their series was before, but for value and time: known without being taken
//! apart.
//!
//! Programs write their series in the same order each time, and each in the same words. So a component
//! remembers which series came after the first one of a report, and each of them what is written around its
//! value and its time. Where the text of the next one comes, it is the same series.

use std::convert::Infallible;
use std::sync::Arc;

use super::Known;
use super::fields::{FieldError, Times, plain_number};
use super::item::check_count;
use super::raw::{Field, Item, RawReport};
use crate::model::{Series, SeriesKey, SeriesText};
use crate::wire::json::Json;

/// What is remembered of how a component writes its series.
pub trait Recall {
    /// By what a series is known whose fields are written like this.
    fn key(&self, fields: &[&str; 5]) -> SeriesKey;
    /// The series that is known by it.
    fn find(&self, key: SeriesKey) -> Option<&Arc<Series>>;
    /// Stands for the texts around the values.
    fn text(&self, around: &[&str; 3]) -> u64;
    /// The series of the last report that began with this one, in their order.
    fn order(&self, first: SeriesKey) -> Option<Arc<[SeriesKey]>>;
    /// The series of a report, in their order.
    fn learn(&self, order: Vec<SeriesKey>);
}

/// Nothing is remembered.
impl Recall for Infallible {
    fn key(&self, _: &[&str; 5]) -> SeriesKey {
        match *self {}
    }

    fn find(&self, _: SeriesKey) -> Option<&Arc<Series>> {
        match *self {}
    }

    fn text(&self, _: &[&str; 3]) -> u64 {
        match *self {}
    }

    fn order(&self, _: SeriesKey) -> Option<Arc<[SeriesKey]>> {
        match *self {}
    }

    fn learn(&self, _: Vec<SeriesKey>) {
        match *self {}
    }
}

/// Goes through the series of the last report along with the entries of this one.
pub(super) struct Expected<'k, R> {
    recall: Option<&'k R>,
    order: Option<Arc<[SeriesKey]>>,
    /// The place of the next one.
    place: usize,
    /// Those from a place on, looked for at once: the processor waits for the memory of all of them together.
    ahead: [Option<&'k Arc<Series>>; AHEAD],
    from: usize,
    /// How many entries in a row were not the expected ones.
    misses: usize,
}

const AHEAD: usize = 16;
/// After so many entries that were not expected none is any more: a program that writes its series in another
/// order each time would have each of them looked for twice.
const MISSES: usize = 16;
/// One that is not where it was is looked for so much further on.
const FURTHER: usize = 64;

impl<'k, R: Recall> Expected<'k, R> {
    pub(super) fn new(recall: Option<&'k R>) -> Self {
        Self { recall, order: None, place: 0, ahead: [None; AHEAD], from: 0, misses: 0 }
    }

    /// The series that comes next.
    pub(super) fn next(&mut self) -> Option<(&'k R, &'k Arc<Series>)> {
        let (recall, order) = (self.recall?, self.order.as_ref()?);
        if !(self.from..self.from + AHEAD).contains(&self.place) {
            self.from = self.place;
            let keys = order.get(self.from..).unwrap_or_default();
            for (place, ahead) in self.ahead.iter_mut().enumerate() {
                *ahead = keys.get(place).and_then(|key| recall.find(*key));
            }
        }
        Some((recall, self.ahead[self.place - self.from]?))
    }

    /// It came.
    pub(super) fn came(&mut self) {
        self.place += 1;
        self.misses = 0;
    }

    /// Something else came: where it is among those that are expected, it goes on from there.
    pub(super) fn instead(&mut self, item: &Item<'_>) {
        let Some(recall) = self.recall else { return };
        let Some(key) = item.series_fields().map(|fields| recall.key(&fields)) else { return };
        if self.order.is_none() {
            (self.order, self.from) = (recall.order(key), usize::MAX - AHEAD);
        }
        let ahead = self.order.as_ref().and_then(|order| order.get(self.place..)).unwrap_or_default();
        if let Some(found) = ahead.iter().take(FURTHER).position(|expected| *expected == key) {
            self.place += found + 1;
        }
        self.misses += 1;
        if self.misses > MISSES {
            self.recall = None;
        }
    }
}

/// What a report says of its component before its list of entries.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Identity of the component, which wins over the name.
    pub runtime_id: Option<i64>,
    /// Name of the component.
    pub component_name: Option<&'a str>,
    /// Kind of the component.
    pub component_type: Option<&'a str>,
}

impl<'a> Head<'a> {
    /// Nothing where it is not said in the usual way.
    pub(super) fn of(report: &'a RawReport<'_>) -> Option<Self> {
        let text = |value: &'a Json<'_>| match value {
            Json::Null => Some(None),
            Json::Text(text) => Some(Some(text.as_ref()).filter(|text| !text.is_empty())),
            _ => None,
        };
        let runtime_id = match report.runtime_id {
            Json::Null => None,
            Json::Integer(id) => Some(id),
            _ => return None,
        };
        let component_name = text(&report.component_name)?;
        Some(Self { runtime_id, component_name, component_type: text(&report.component_type)? })
    }
}

/// An entry whose text says which series it is.
#[derive(Debug)]
pub(super) struct Same<'a> {
    pub(super) series: Arc<Series>,
    pub(super) value: f64,
    pub(super) timestamp: Field<'a>,
}

impl<'a> Same<'a> {
    /// Checks what is left of it.
    pub(super) fn check(self, times: &mut Times<'a>) -> Result<Known, FieldError> {
        let at = times.read(self.timestamp)?;
        check_count(self.series.kind(), || self.series.metric_name(), self.value)?;
        Ok(Known { series: self.series, value: self.value, at })
    }
}

/// What an entry says between the texts that do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Value,
    ValueThenTime,
    TimeThenValue,
}

/// How long the texts of an entry are that do not change, and what stands between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) says: Says,
    pub(super) around: [usize; 3],
}

impl Shape {
    /// The same in one number, which is not 0; nothing where a text is too long for it.
    fn pack(self) -> Option<u64> {
        let [a, b, c] = self.around.map(|len| u16::try_from(len).ok().map(u64::from));
        Some((a? << 48) | (b? << 32) | (c? << 16) | (self.says as u64 + 1))
    }

    fn unpack(packed: u64) -> Option<Self> {
        let says = [Says::Value, Says::ValueThenTime, Says::TimeThenValue];
        let says = *says.get(usize::try_from(packed & 0xffff).ok()?.checked_sub(1)?)?;
        let around = [48, 32, 16].map(|shift| usize::try_from((packed >> shift) & 0xffff).unwrap_or(0));
        Some(Self { says, around })
    }

    /// The one that a series was written with last, and what stands for its texts.
    pub(super) fn of(series: &Series) -> Option<(Self, u64)> {
        let SeriesText { shape, text } = series.written.text();
        Some((Self::unpack(shape)?, text))
    }
}

impl<'a> Item<'a> {
    /// How it is written, where it says nothing more than a number and perhaps a time.
    fn shape(&self) -> Option<(Shape, [&'a str; 3])> {
        let text = self.text?;
        plain_number(self.value)?;
        if self.exemplars.is_some() {
            return None;
        }
        let place = |part: &str| {
            let begin = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
            Some((begin, begin + part.len()))
        };
        let value = place(self.value?)?;
        let (says, first, second) = match self.timestamp {
            None => (Says::Value, value, (text.len(), text.len())),
            Some(time) if time.starts_with('"') && !time.contains('\\') => match place(time)? {
                time if time.0 > value.0 => (Says::ValueThenTime, value, time),
                time => (Says::TimeThenValue, time, value),
            },
            Some(_) => return None,
        };
        let around = [text.get(..first.0)?, text.get(first.1..second.0)?, text.get(second.1..)?];
        Some((Shape { says, around: around.map(str::len) }, around))
    }

    /// Has a series remember how this entry of its is written.
    pub(super) fn remember(&self, series: &Series, recall: &impl Recall) {
        if let Some((shape, around)) = self.shape()
            && let Some(shape) = shape.pack()
        {
            series.written.set_text(SeriesText { shape, text: recall.text(&around) });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_shape_comes_back(a in 0_usize..70_000, b in 0_usize..70_000, c in 0_usize..70_000, says in 0_usize..3) {
            let says = [Says::Value, Says::ValueThenTime, Says::TimeThenValue][says];
            let shape = Shape { says, around: [a, b, c] };
            match shape.pack() {
                Some(packed) => prop_assert_eq!(Shape::unpack(packed), Some(shape)),
                None => prop_assert!(a.max(b).max(c) > usize::from(u16::MAX)),
            }
        }
    }

    #[test]
    fn what_was_never_written_has_no_shape() {
        assert_eq!(Shape::unpack(0), None);
        assert_eq!(Shape::unpack(4), None);
    }
}
