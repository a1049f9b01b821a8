//! What each tenant uses: counted in memory while calls run, added to the tenant's rows every few seconds and at the end.
mod body;
mod layer;
mod ledger;
mod writer;

pub use body::Counted;
pub(crate) use layer::MeteringLayer;
pub(crate) use ledger::Ledger;
pub(crate) use writer::Writer;
