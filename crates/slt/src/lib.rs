//! The slt room; see the map.
