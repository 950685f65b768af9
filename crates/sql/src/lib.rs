//! The sql room; see the map.
