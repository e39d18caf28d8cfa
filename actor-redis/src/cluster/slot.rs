//! Which of a cluster's hash slots holds a key.

/// How many slots a cluster has.
pub(crate) const SLOTS: u16 = 16_384;

/// The slot of the keys that have this hash tag.
pub(crate) fn of_tag(tag: &str) -> u16 {
    crc16(tag.as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, as the cluster specification has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_are_those_of_the_specification_and_of_a_server() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        // As `CLUSTER KEYSLOT` answers.
        for (tag, slot) in [("", 0), ("foo", 12_182), ("bar", 5_061), ("hello", 866), ("user1000", 3_443)] {
            assert_eq!(of_tag(tag), slot, "{tag}");
        }
    }
}
