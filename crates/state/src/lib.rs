//! The state room; see the map.
