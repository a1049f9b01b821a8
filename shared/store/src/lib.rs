//! Where does it stay?
//!
//! Transactions bound to one tenant ([`Store::run`]), single statements that read ([`Store::one`]) or write
//! ([`Store::once`]), the check of the walls ([`Store::verify`]) and the migrations. Nothing opens without a `Tenant`, and
//! there is no other door.

mod audit;
mod cache;
mod catalogue;
mod changes;
mod directory;
mod error;
mod incarnation;
mod lane;
mod meters;
pub mod migrate;
mod once;
mod open;
mod place;
mod pool;
mod run;
mod statement;
mod summary;
mod tx;
mod usage;

pub use audit::{Event, Note};
pub use cache::{Cache, CacheConfig, CachePolicy, Held, Kind};
pub use catalogue::{SCHEMAS, UNSCOPED_TABLES, WallError};
pub use changes::{Changes, Feed};
pub use directory::Directory;
pub use error::DbResult;
pub use once::Once;
pub use open::{Store, StoreConfig};
pub use statement::Statement;
pub use tx::{Single, TenantTx};
pub use usage::{Due, UsedInDay};
