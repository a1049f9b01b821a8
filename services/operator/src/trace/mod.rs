//! Traces for people: a receiver of spans inside our own process, and a trace as a tree of lines.

mod receiver;
mod span;
mod tree;

pub use receiver::Receiver;
pub use span::{Kind, Span};
pub use tree::{Tree, is_complete};
