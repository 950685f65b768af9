//! Tests about the project as a whole. They stand with `types` because it is the crate that builds fastest and knows nobody.

mod tidy;
