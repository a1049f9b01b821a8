//! What is read through the cache is what was committed.
pub mod door;
pub mod newest;
pub mod servers;
