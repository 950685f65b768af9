//! What operators remember, and the forms in which they remember it: values as codes, rows as packed words.
//!
//! [`Dictionary`] gives values of no fixed width their codes, [`codec`] turns whole columns and batches from logical to physical and
//! back, [`RowLayout`] packs physical rows into words, [`hash`] hashes them.
//!
//! Deliberately not here: anything that knows of SQL, of timely, or of the network; and I/O.
#![warn(missing_docs)]

pub mod aggregate;
pub mod arrangement;
pub mod bag_calendar;
pub mod calendar;
pub mod capture;
pub mod chain;
pub mod codec;
mod derivations;
pub mod dictionary;
mod domain;
pub mod exact_float;
pub mod hash;
pub mod index;
pub mod key;
pub mod keyed_history;
pub mod layout;
pub mod memory;
pub mod monotone_keyed;
pub mod monotone_set;
pub mod order;
mod paged;
mod prefetch;
pub mod presence;
pub mod recent_rows;
pub mod rows;
pub mod set_history;

pub use arrangement::{Arrangement, Changed, Entries, WeightOverflow, row_key};
pub use bag_calendar::BagCalendar;
pub use capture::{Capture, Captured};
pub use codec::{decode_batch, decode_batch_for_disk, decode_column, encode_batch, encode_column};
pub use dictionary::Dictionary;
pub use hash::{hash_bytes, hash_word, hash_words};
pub use key::KeyOf;
pub use keyed_history::{KeyedChange, KeyedHistory, Winner};
pub use layout::{NullTest, Repack, RowLayout};
pub use memory::Memory;
pub use monotone_keyed::MonotoneKeyed;
pub use monotone_set::MonotoneSet;
pub use order::{OrderBy, RowOrder};
pub use presence::PresenceHistory;
pub use recent_rows::RecentRows;
pub use rows::{Rows, RowsById, SharedRows};
pub use set_history::{RowChange, SetHistory};
