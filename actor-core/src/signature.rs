//! What a declaration says of its arguments, and its fingerprint, which a message carries.

use std::fmt;

/// An argument's name and type, as the declaration writes them.
pub(crate) type Arg = (&'static str, &'static str);

/// Eight bytes that tell two declarations of an actor apart: a hash of its arguments' names and one of their types,
/// both in order. `docs/wire-format.md` says how they are made, since other builds of the program compare them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint {
    pub(crate) names: u32,
    pub(crate) types: u32,
}

/// The hash of no text: FNV-1a with 32 bits.
pub(crate) const NOTHING: u32 = 0x811c_9dc5;

impl Fingerprint {
    pub(crate) const fn of(args: &[Arg]) -> Self {
        let (mut names, mut types, mut index) = (NOTHING, NOTHING, 0);
        while index < args.len() {
            names = and(names, args[index].0);
            types = and(types, args[index].1);
            index += 1;
        }
        Self { names, types }
    }

    /// What [`text`](Self::text) wrote.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (names, types) = text.split_at_checked(8)?;
        Some(Self { names: digits(names)?, types: digits(types)? })
    }

    /// As 16 lowercase hexadecimal digits.
    pub(crate) fn text(self) -> [u8; 16] {
        let both = u64::from(self.names) << 32 | u64::from(self.types);
        std::array::from_fn(|index| b"0123456789abcdef"[(both >> (60 - 4 * index) & 15) as usize])
    }
}

/// The hash with one more text.
pub(crate) const fn and(mut hash: u32, text: &str) -> u32 {
    let (text, mut index) = (text.as_bytes(), 0);
    // The line feed ends each text, so that `a, bc` is not `ab, c`.
    while index <= text.len() {
        let byte = if index < text.len() { text[index] } else { b'\n' };
        hash = (hash ^ byte as u32).wrapping_mul(0x0100_0193);
        index += 1;
    }
    hash
}

fn digits(text: &[u8]) -> Option<u32> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let add = |number: u32, byte| Some(number << 4 | u32::from(digit(byte)?));
    (text.len() == 8).then(|| text.iter().try_fold(0, add))?
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text()))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Arguments as a declaration lists them: `(video_id: Uuid, full: bool)`.
pub(crate) fn shown<T: fmt::Display>(args: &[(T, T)]) -> String {
    let args: Vec<_> = args.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
    format!("({})", args.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_same_in_every_build() {
        const NONE: Fingerprint = Fingerprint::of(&[]);
        const TWO: Fingerprint = Fingerprint::of(&[("width", "u32"), ("height", "u32")]);
        // FNV-1a with 32 bits of `width\nheight\n` and `u32\nu32\n`.
        assert_eq!((NONE.to_string(), TWO.to_string()), ("811c9dc5811c9dc5".to_owned(), "222e16aed01edd15".to_owned()));
    }

    #[test]
    fn a_fingerprint_knows_names_types_and_their_order() {
        let all = [
            &[("a", "u8"), ("b", "u16")][..],
            &[("b", "u16"), ("a", "u8")],
            &[("b", "u8"), ("a", "u16")],
            &[("a", "u16"), ("b", "u8")],
            &[("ab", "u8u16")],
            &[("a", "u8")],
            &[],
        ];
        let distinct: std::collections::HashSet<_> = all.iter().map(|args| Fingerprint::of(args)).collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let fingerprint = Fingerprint::of(&[("a", "u8")]);
        assert_eq!(Fingerprint::parse(fingerprint.to_string().as_bytes()), Some(fingerprint));
        for odd in
            ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "+123456789abcdef", "\u{e9}23456789abcde"]
        {
            assert_eq!(Fingerprint::parse(odd.as_bytes()), None, "{odd}");
        }
    }
}
