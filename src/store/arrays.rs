//! Arrays of numbers as PostgreSQL sends them, read in one go: the driver's own way looks at each
//! element by itself, which is most of what a query of many samples took.

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Postgres, Type};

/// `integer[]`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ints(pub(super) Vec<i32>);

/// `double precision[]`.
#[derive(Debug, PartialEq)]
pub(super) struct Doubles(pub(super) Vec<f64>);

impl Type<Postgres> for Ints {
    fn type_info() -> PgTypeInfo {
        <Vec<i32> as Type<Postgres>>::type_info()
    }
}

impl Type<Postgres> for Doubles {
    fn type_info() -> PgTypeInfo {
        <Vec<f64> as Type<Postgres>>::type_info()
    }
}

impl Decode<'_, Postgres> for Ints {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        elements(&value, i32::from_be_bytes).map(Self)
    }
}

impl Decode<'_, Postgres> for Doubles {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        elements(&value, f64::from_be_bytes).map(Self)
    }
}

/// Number of dimensions, whether there are nulls, type of the elements; of each dimension its length
/// and first index; then of each element its length in bytes and the bytes.
fn elements<const N: usize, T>(value: &PgValueRef<'_>, of: fn([u8; N]) -> T) -> Result<Vec<T>, BoxDynError> {
    if value.format() != PgValueFormat::Binary {
        return Err("an array that is not binary".into());
    }
    read(value.as_bytes()?, of).ok_or_else(|| "an array that is damaged, or has nulls or dimensions".into())
}

/// The same of the bytes that are sent.
pub(super) fn read<const N: usize, T>(bytes: &[u8], of: fn([u8; N]) -> T) -> Option<Vec<T>> {
    let (dimensions, rest) = bytes.split_first_chunk::<4>()?;
    let rest = rest.get(8..)?;
    match i32::from_be_bytes(*dimensions) {
        0 => return rest.is_empty().then(Vec::new),
        1 => {}
        _ => return None,
    }
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(i32::from_be_bytes(*len)).ok()?;
    let elements = rest.get(4..)?;
    if elements.len() != len.checked_mul(4 + N)? {
        return None;
    }
    let size = i32::try_from(N).ok()?.to_be_bytes();
    elements
        .chunks_exact(4 + N)
        .map(|element| Some(of(element.strip_prefix(&size)?.try_into().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(dimensions: &[i32], elements: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let size = |len: usize| i32::try_from(len).unwrap().to_be_bytes();
        bytes.extend(size(dimensions.len()));
        bytes.extend([0; 8]);
        for len in dimensions {
            bytes.extend(len.to_be_bytes());
            bytes.extend(1_i32.to_be_bytes());
        }
        for element in elements {
            bytes.extend(size(element.len()));
            bytes.extend(*element);
        }
        bytes
    }

    #[test]
    fn elements_are_read_and_what_is_no_plain_array_is_not() {
        let numbers = [1_i32, -7, i32::MAX].map(i32::to_be_bytes);
        let elements: Vec<&[u8]> = numbers.iter().map(<[u8; 4]>::as_slice).collect();
        let good = array(&[3], &elements);
        assert_eq!(read(&good, i32::from_be_bytes), Some(vec![1, -7, i32::MAX]));
        assert_eq!(read(&array(&[], &[]), i32::from_be_bytes), Some(vec![]));
        for end in 0..good.len() {
            assert_eq!(read(good.get(..end).unwrap(), i32::from_be_bytes), None, "{end}");
        }
        assert_eq!(read(&good, f64::from_be_bytes), None, "of another type");
        assert_eq!(read(&array(&[3, 1], &elements), i32::from_be_bytes), None);
        let mut null = good;
        null.get_mut(20..24).unwrap().copy_from_slice(&(-1_i32).to_be_bytes());
        assert_eq!(read(&null, i32::from_be_bytes), None);
    }
}
