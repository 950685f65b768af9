//! The refrain room; see the map.
