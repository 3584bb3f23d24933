//! A report as JSON has it, before any rule: one pass, any type in any place. What an entry of the list
//! says is found, and taken apart only where it has to be.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use serde_json::value::RawValue;

use super::super::json::{Json, Text};
use super::same::{Head, Recall, Same};
use super::scan;

/// Whatever is no object is read, so that the rest of the body can be, and marked.
macro_rules! not_a_map {
    ($kind:ident) => {
        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok($kind { not_object: true, ..Default::default() })
        }
        fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Self::Value, E> {
            self.visit_unit()
        }
        fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
            self.visit_unit()
        }
        fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
            self.visit_unit()
        }
        fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
            self.visit_unit()
        }
        fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
            self.visit_unit()
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            self.visit_unit()
        }
    };
}

#[derive(Debug, Default)]
pub(super) struct RawReport<'a> {
    pub(super) not_object: bool,
    pub(super) twice: Option<&'static str>,
    pub(super) runtime_id: Json<'a>,
    pub(super) component_name: Json<'a>,
    pub(super) component_type: Json<'a>,
    pub(super) execution_id: Json<'a>,
    pub(super) metrics: Items<'a>,
}

#[derive(Debug, Default)]
pub(super) enum Items<'a> {
    #[default]
    Missing,
    Wrong(&'static str),
    /// More than the limit; nothing of it was kept.
    TooMany,
    List(Vec<Listed<'a>>),
}

/// One entry of the list.
#[derive(Debug)]
pub(super) enum Listed<'a> {
    /// In a place of its own: most entries of most reports are not taken apart, and need a
    /// sixth of its room.
    Item(Box<Item<'a>>),
    /// One that was not taken apart.
    Same(Same<'a>),
}

/// A field as it was written; nothing where it is missing.
pub(super) type Field<'a> = Option<&'a str>;

/// Whether a field is there and not null.
pub(super) fn is_given(field: Field<'_>) -> bool {
    field.is_some_and(|raw| raw != "null")
}

/// What an entry of the list says, unchecked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Item<'a> {
    /// All of it, where the fast parser read it.
    pub(super) text: Field<'a>,
    pub(super) not_object: bool,
    pub(super) twice: Option<&'static str>,
    pub(super) name: Field<'a>,
    pub(super) kind: Field<'a>,
    pub(super) value: Field<'a>,
    pub(super) timestamp: Field<'a>,
    pub(super) labels: Field<'a>,
    pub(super) help: Field<'a>,
    pub(super) unit: Field<'a>,
    pub(super) buckets: Field<'a>,
    pub(super) quantiles: Field<'a>,
    pub(super) sum: Field<'a>,
    pub(super) count: Field<'a>,
    pub(super) exemplars: Field<'a>,
}

impl<'a> RawReport<'a> {
    /// Takes the body apart, keeping at most `most` entries of the list: a small body can hold very
    /// many, each of which would take much more memory than its bytes.
    pub(super) fn read<R: Recall>(
        body: &'a str,
        most: usize,
        recall: impl FnOnce(Head<'_>) -> Option<R>,
    ) -> Result<Self, serde_json::Error> {
        scan::read(body, most, recall).map_or_else(|| Self::read_general(body, most), Ok)
    }

    /// The same without what only the fast parser notes.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn without_texts(mut self) -> Self {
        if let Items::List(items) = &mut self.metrics {
            for listed in items {
                if let Listed::Item(item) = listed {
                    item.text = None;
                }
            }
        }
        self
    }

    /// The same for any body.
    pub(super) fn read_general(body: &'a str, most: usize) -> Result<Self, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_str(body);
        let report = json.deserialize_any(ReportVisitor { most })?;
        json.end()?;
        Ok(report)
    }
}

struct ReportVisitor {
    most: usize,
}

impl<'de> Visitor<'de> for ReportVisitor {
    type Value = RawReport<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a report")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut report = RawReport::default();
        while let Some(Text(key)) = map.next_key()? {
            let (field, slot) = match key.as_ref() {
                "runtime_id" => ("runtime_id", &mut report.runtime_id),
                "component_name" => ("component_name", &mut report.component_name),
                "execution_id" => ("execution_id", &mut report.execution_id),
                // Two names of one field: whoever sends both means the same by them.
                "component_type" | "kind" => {
                    report.component_type = map.next_value()?;
                    continue;
                }
                "metrics" => {
                    if !matches!(report.metrics, Items::Missing) {
                        report.twice = Some("metrics");
                    }
                    report.metrics = map.next_value_seed(ItemsVisitor { most: self.most })?;
                    continue;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if !matches!(slot, Json::Null) {
                report.twice = Some(field);
            }
            *slot = map.next_value()?;
        }
        Ok(report)
    }

    not_a_map!(RawReport);
}

impl<'de> Deserialize<'de> for Item<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Item<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a metric")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut item = Item::default();
                while let Some(Text(key)) = map.next_key()? {
                    let (field, slot) = match key.as_ref() {
                        "metric_name" => ("metric_name", &mut item.name),
                        "metric_type" => ("metric_type", &mut item.kind),
                        "metric_value" => ("metric_value", &mut item.value),
                        "timestamp" => ("timestamp", &mut item.timestamp),
                        "labels" => ("labels", &mut item.labels),
                        "help_text" => ("help_text", &mut item.help),
                        "unit" => ("unit", &mut item.unit),
                        "buckets" => ("buckets", &mut item.buckets),
                        "quantiles" => ("quantiles", &mut item.quantiles),
                        "sum" => ("sum", &mut item.sum),
                        "count" => ("count", &mut item.count),
                        "exemplars" => ("exemplars", &mut item.exemplars),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if is_given(*slot) {
                        item.twice = Some(field);
                    }
                    *slot = Some(map.next_value::<&RawValue>()?.get());
                }
                Ok(item)
            }
            not_a_map!(Item);
        }
        deserializer.deserialize_any(V)
    }
}

struct ItemsVisitor {
    most: usize,
}

impl<'de> DeserializeSeed<'de> for ItemsVisitor {
    type Value = Items<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Items<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of metrics")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < self.most {
            match seq.next_element()? {
                Some(item) => items.push(Listed::Item(Box::new(item))),
                None => return Ok(Items::List(items)),
            }
        }
        let mut rest = 0_usize;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            rest += 1;
        }
        Ok(if rest == 0 { Items::List(items) } else { Items::TooMany })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Items::Wrong("an object"))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Items::Wrong("null"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Items::Wrong("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Items::Wrong("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Items::Wrong("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Items::Wrong("a number"))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Items::Wrong("a string"))
    }
}
