//! Fresh secrets.

/// 64 hexadecimal digits from the system's random source.
pub fn random_secret() -> String {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source works");
    let (high, low) = bytes.split_at(16);
    let half = |bytes: &[u8]| u128::from_be_bytes(bytes.try_into().expect("half of 32 bytes are 16"));
    format!("{:032x}{:032x}", half(high), half(low))
}
