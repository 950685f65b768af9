//! Ids and clocks, each a type of its own so that two of them cannot be mixed up.

use std::fmt;

/// Signed multiplicity of a row in a Z-set.
pub type Weight = i64;

/// How many times a row has been round the loop that it is in.
pub type Iteration = u32;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl $name {
            /// The one after this.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }
    };
}

id!(
    /// Number of an admitted input transaction. Epoch 0 is the empty database.
    Epoch, u64
);
id!(
    /// One slice of work of one dataflow; it closes at a consistent cut.
    Tick, u64
);
id!(
    /// A checkpoint. Ids are never reused, not even those of aborted checkpoints.
    CheckpointId, u64
);
id!(
    /// How many times a store has been opened for writing; a writer of a lower generation is fenced.
    Generation, u64
);
id!(
    /// A table or a view, for as long as the database exists.
    RelationId, u64
);
id!(
    /// A running dataflow; views keep theirs across restarts.
    DataflowId, u64
);
id!(
    /// A node of one stream plan, the same after each planning of the same text.
    OperatorId, u32
);
id!(
    /// A loop of one stream plan.
    LoopId, u32
);
