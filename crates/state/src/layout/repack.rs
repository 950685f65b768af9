//! Moving cells from packed rows to packed rows.

use super::{Cell, Position, RowLayout};

/// Cells moved from one or two packed rows into a row of another layout, worked out once and applied per row.
///
/// Cells that move together are one move: mask a word, rotate it, put it into its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repack {
    /// Those of the left row first.
    moves: Vec<Move>,
    /// How many these are.
    of_left: usize,
    words: [usize; 2],
    out_words: usize,
    identity: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Move {
    /// Which of the two rows.
    source: usize,
    from: usize,
    to: usize,
    /// Bits of the source word that move.
    mask: u64,
    /// How far they move to the left, round the end of the word.
    rotate: u32,
}

impl Repack {
    /// Takes these columns of rows of `from` into rows of `to`.
    ///
    /// Where a column may be NULL in `from` and not in `to`, a NULL becomes zero bits: leave such rows out with [`NullTest`].
    ///
    /// # Panics
    /// When the columns are not of the types of `to`.
    #[must_use]
    pub fn new(from: &RowLayout, columns: &[usize], to: &RowLayout) -> Self {
        Self::of_sources([from, from], columns.iter().map(|column| Some((0, *column))), to)
    }

    /// Takes a row of `from` into one of `to` as far as its columns have a source; the other cells become zero bits, for
    /// [`RowLayout::set_cell`] to fill in.
    ///
    /// # Panics
    /// When a source is not of its column's type.
    #[must_use]
    pub fn partial(from: &RowLayout, sources: &[Option<usize>], to: &RowLayout) -> Self {
        Self::of_sources([from, from], sources.iter().map(|source| source.map(|column| (0, column))), to)
    }

    /// Takes columns of a row of `left` and a row of `right` into one of `to`. Column `c` of the left is `c`, of the right it is
    /// `left.width() + c`, as in the output of a join.
    ///
    /// # Panics
    /// When the columns are not of the types of `to`.
    #[must_use]
    pub fn of_pair(left: &RowLayout, right: &RowLayout, columns: &[usize], to: &RowLayout) -> Self {
        let width = left.width();
        let sources = columns.iter().map(|&column| Some(if column < width { (0, column) } else { (1, column - width) }));
        Self::of_sources([left, right], sources, to)
    }

    fn of_sources(
        from: [&RowLayout; 2],
        columns: impl ExactSizeIterator<Item = Option<(usize, usize)>> + Clone,
        to: &RowLayout,
    ) -> Self {
        assert_eq!(columns.len(), to.width(), "one source for each column of the output");
        let identity = from[0] == to && columns.clone().enumerate().all(|(i, column)| column == Some((0, i)));
        let mut repack = Self { moves: Vec::new(), of_left: 0, words: from.map(RowLayout::words), out_words: to.words(), identity };
        for (source, target) in columns.zip(&to.cells) {
            if let Some((source, column)) = source {
                repack.add_cell(source, &from[source].cells[column], target);
            }
        }
        repack.moves.sort_by_key(|m| m.source);
        repack.of_left = repack.moves.partition_point(|m| m.source == 0);
        repack
    }

    fn add_cell(&mut self, source: usize, from: &Cell, to: &Cell) {
        assert_eq!(from.data_type, to.data_type, "a cell moves to a column of its type");
        if from.bits == 128 {
            for half in 0..2 {
                let at = |position: Position| Position { word: position.word + half, ..position };
                self.add_bits(source, at(from.at), at(to.at), 64);
            }
        } else {
            self.add_bits(source, from.at, to.at, from.bits);
        }
        if let (Some(from), Some(to)) = (from.null, to.null) {
            self.add_bits(source, from, to, 1);
        }
    }

    fn add_bits(&mut self, source: usize, from: Position, to: Position, bits: u32) {
        let mask = (u64::MAX >> (64 - bits)) << from.shift;
        let rotate = (64 + to.shift - from.shift) % 64;
        let together = |m: &&mut Move| (m.source, m.from, m.to, m.rotate) == (source, from.word, to.word, rotate);
        match self.moves.iter_mut().find(together) {
            Some(found) => found.mask |= mask,
            None => self.moves.push(Move { source, from: from.word, to: to.word, mask, rotate }),
        }
    }

    /// Words of a row of the output.
    #[must_use]
    pub fn out_words(&self) -> usize {
        self.out_words
    }

    /// Whether rows come out as they went in.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.identity
    }

    /// Repacks one row. `out` is overwritten.
    #[inline]
    pub fn apply(&self, row: &[u64], out: &mut [u64]) {
        debug_assert!(self.moves.iter().all(|m| m.source == 0), "a repack of pairs is applied to pairs");
        out.fill(0);
        for m in &self.moves {
            out[m.to] |= (row[m.from] & m.mask).rotate_left(m.rotate);
        }
    }

    /// What all pairs of one row have of it, for [`Self::append_pair`]: `source` is 0 for a row of the left, 1 for one of the right. `out` is
    /// replaced.
    #[inline]
    pub fn begin_pairs(&self, source: usize, row: &[u64], out: &mut Vec<u64>) {
        out.clear();
        out.resize(self.out_words, 0);
        for m in self.moves_of(source) {
            out[m.to] |= (row[m.from] & m.mask).rotate_left(m.rotate);
        }
    }

    /// Appends a pair to `out`: `begun` is what it has of one side, `row` is one of the other, `source`.
    #[inline]
    pub fn append_pair(&self, begun: &[u64], source: usize, row: &[u64], out: &mut Vec<u64>) {
        match (begun, self.moves_of(source)) {
            ([begun], [m]) => out.push(begun | (row[m.from] & m.mask).rotate_left(m.rotate)),
            (_, moves) => {
                let start = out.len();
                out.extend_from_slice(begun);
                for m in moves {
                    out[start + m.to] |= (row[m.from] & m.mask).rotate_left(m.rotate);
                }
            }
        }
    }

    #[inline]
    fn moves_of(&self, source: usize) -> &[Move] {
        let (left, right) = self.moves.split_at(self.of_left);
        if source == 0 { left } else { right }
    }

    /// Repacks all of `rows` and appends them to `out`, a move at a time.
    pub fn apply_all(&self, rows: &[u64], out: &mut Vec<u64>) {
        debug_assert_eq!(rows.len() % self.words[0], 0, "only whole rows are repacked");
        let start = out.len();
        out.resize(start + rows.len() / self.words[0] * self.out_words, 0);
        let out = &mut out[start..];
        for m in &self.moves {
            if self.words[0] == 1 && self.out_words == 1 {
                for (to, from) in out.iter_mut().zip(rows) {
                    *to |= (from & m.mask).rotate_left(m.rotate);
                }
            } else {
                for (to, from) in out.chunks_exact_mut(self.out_words).zip(rows.chunks_exact(self.words[0])) {
                    to[m.to] |= (from[m.from] & m.mask).rotate_left(m.rotate);
                }
            }
        }
    }
}

/// Tells whether some of a packed row's columns are NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NullTest {
    /// A word and its null bits.
    bits: Vec<(usize, u64)>,
    /// A word and the cell in it that is NULL when it is 0.
    codes: Vec<(usize, u64)>,
}

impl NullTest {
    /// A test of these columns of rows of `layout`.
    #[must_use]
    pub fn new(layout: &RowLayout, columns: &[usize]) -> Self {
        let mut bits: Vec<(usize, u64)> = Vec::new();
        let mut codes = Vec::new();
        for &column in columns {
            let cell = &layout.cells[column];
            if cell.coded {
                codes.push((cell.at.word, u64::from(u32::MAX) << cell.at.shift));
            } else if let Some(at) = cell.null {
                match bits.iter_mut().find(|(word, _)| *word == at.word) {
                    Some((_, mask)) => *mask |= 1 << at.shift,
                    None => bits.push((at.word, 1 << at.shift)),
                }
            }
        }
        Self { bits, codes }
    }

    /// Whether no row can have such a NULL.
    #[must_use]
    pub fn is_never(&self) -> bool {
        self.bits.is_empty() && self.codes.is_empty()
    }

    /// Whether one of the columns is NULL in this row.
    #[inline]
    #[must_use]
    pub fn any(&self, row: &[u64]) -> bool {
        self.bits.iter().any(|(word, mask)| row[*word] & mask != 0) || self.codes.iter().any(|(word, mask)| row[*word] & mask == 0)
    }
}
