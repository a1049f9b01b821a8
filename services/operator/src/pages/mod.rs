//! Pages of the documentation that are made from the contract and the code, so that they stay true.

mod errors;

pub use errors::errors;
