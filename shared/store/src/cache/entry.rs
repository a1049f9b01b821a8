//! What stands below a key in Redis: a state, the generation it belongs to, the row's version, and the value.
use bytes::Bytes;
use uuid::Uuid;

/// State, generation, version, tenant.
const HEADER: usize = 1 + 16 + 8 + 16;

/// What is known of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// This is what it is.
    Value,
    /// There is none.
    Absent,
    /// It has this version at least; what it is has to be read.
    Floor,
    /// A change may be under way that nobody knows the end of: it has to be read, and what is read is not kept.
    Doubt,
}

impl State {
    fn byte(self) -> u8 {
        match self {
            Self::Value => b'v',
            Self::Absent => b'a',
            Self::Floor => b'f',
            Self::Doubt => b'd',
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Value, Self::Absent, Self::Floor, Self::Doubt]
            .into_iter()
            .find(|state| state.byte() == byte)
    }
}

/// One entry. The scripts read its first 25 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub state: State,
    pub generation: Uuid,
    pub version: u64,
    pub tenant: Uuid,
    pub value: Bytes,
}

impl Entry {
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEADER + self.value.len());
        bytes.push(self.state.byte());
        bytes.extend_from_slice(self.generation.as_bytes());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(self.tenant.as_bytes());
        bytes.extend_from_slice(&self.value);
        bytes.into()
    }

    /// `None` for what this program did not write.
    pub fn decode(bytes: &Bytes) -> Option<Self> {
        let (state, rest) = bytes.get(..HEADER)?.split_first()?;
        let (generation, rest) = rest.split_at_checked(16)?;
        let (version, tenant) = rest.split_at_checked(8)?;
        Some(Self {
            state: State::of(*state)?,
            generation: Uuid::from_slice(generation).ok()?,
            version: u64::from_be_bytes(version.try_into().ok()?),
            tenant: Uuid::from_slice(tenant).ok()?,
            value: bytes.slice(HEADER..),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_as_it_was_and_anything_else_is_none() {
        for state in [State::Value, State::Absent, State::Floor, State::Doubt] {
            let entry = Entry {
                state,
                generation: Uuid::new_v4(),
                version: u64::MAX - 7,
                tenant: Uuid::new_v4(),
                value: Bytes::from_static(b"value"),
            };
            let bytes = entry.encode();
            assert_eq!(Entry::decode(&bytes), Some(entry));
            for length in 0..HEADER {
                assert_eq!(Entry::decode(&bytes.slice(..length)), None);
            }
        }
        assert_eq!(Entry::decode(&Bytes::from_static(&[b'x'; 60])), None);
    }
}
