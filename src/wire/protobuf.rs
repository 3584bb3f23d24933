//! The wire format of Protocol Buffers, read in place: a message is the list of its fields.

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) struct Malformed;

/// What a field holds, by its wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::wire) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// The fields of a message, as they come.
#[derive(Clone, Debug)]
pub(in crate::wire) struct Fields<'a>(Reader<'a>);

impl<'a> Fields<'a> {
    pub(in crate::wire) const fn new(message: &'a [u8]) -> Self {
        Self(Reader(message))
    }

    /// How many bytes of the message are still to be read.
    pub(in crate::wire) const fn left(&self) -> usize {
        self.0.0.len()
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        let key = self.0.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.0.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.0.array()?)),
            2 => {
                let length = usize::try_from(self.0.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.0.take(length)?)
            }
            5 => {
                self.0.array::<4>()?;
                Value::Fixed32
            }
            // Groups, which no message of ours ever had.
            _ => return Err(Malformed),
        };
        let number = key >> 3;
        if number == 0 { Err(Malformed) } else { Ok((number, value)) }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.0.is_empty() { None } else { Some(self.field()) }
    }
}

/// Numbers side by side, as a packed field has them.
#[derive(Clone, Debug)]
pub(in crate::wire) struct Packed<'a>(Reader<'a>);

impl<'a> Packed<'a> {
    pub(in crate::wire) const fn new(numbers: &'a [u8]) -> Self {
        Self(Reader(numbers))
    }
}

impl Iterator for Packed<'_> {
    type Item = Result<u64, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.0.is_empty() { None } else { Some(self.0.varint()) }
    }
}

#[derive(Clone, Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        // Nearly all lengths and keys have one byte.
        if let Some((byte @ 0..=0x7f, rest)) = self.0.split_first() {
            self.0 = rest;
            return Ok(u64::from(*byte));
        }
        let mut number = 0;
        for (at, byte) in self.0.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.0 = &self.0[at + 1..];
                // The tenth byte has room for one bit.
                return if at == 9 && *byte > 1 { Err(Malformed) } else { Ok(number) };
            }
        }
        Err(Malformed)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }
}
