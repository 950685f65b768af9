//! The dataflow room; see the map.
