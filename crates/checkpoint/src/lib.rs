//! The checkpoint room; see the map.
