//! The planner room; see the map.
