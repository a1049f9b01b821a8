//! What counts as text in a field.

/// At most `longest` characters (not bytes), none of them a control character.
pub fn is_text(text: &str, longest: usize) -> bool {
    text.chars().count() <= longest && !text.chars().any(char::is_control)
}

/// As [`is_text`], with line breaks and tabs: for what people write and models read.
pub fn is_prose(text: &str, longest: usize) -> bool {
    let odd = |char: char| char.is_control() && !matches!(char, '\n' | '\r' | '\t');
    text.chars().count() <= longest && !text.chars().any(odd)
}
