//! A sample's value in text: JSON, where NaN and infinities are strings, and the exposition formats.

use serde::Serializer;

/// NaN, +Inf or -Inf; nothing for a finite value.
pub fn name_of(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("+Inf")
    } else if value == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// Serialises a value for JSON.
pub fn serialize<S: Serializer>(value: f64, serializer: S) -> Result<S::Ok, S::Error> {
    match name_of(value) {
        Some(name) => serializer.serialize_str(name),
        None => serializer.serialize_f64(value),
    }
}

/// Writes a value as both exposition formats take it; whole numbers without a fraction.
pub fn write(out: &mut Vec<u8>, value: f64) {
    if let Some(name) = name_of(value) {
        out.extend_from_slice(name.as_bytes());
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
}

/// The value's schema in the API's description.
pub fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
    let number = ObjectBuilder::new().schema_type(Type::Number).build();
    let word = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["NaN", "+Inf", "-Inf", "Stale"]))
        .build();
    OneOfBuilder::new().item(number).item(word).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        write(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_read_well() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (150.0, "150"),
            (45.2, "45.2"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    proptest! {
        #[test]
        fn a_written_value_reads_back(value in any::<f64>()) {
            let back: f64 = text(value).parse().unwrap();
            prop_assert!(back.to_bits() == value.to_bits() || (back.is_nan() && value.is_nan()));
        }
    }
}
