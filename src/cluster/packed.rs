//! How are facts kept while nobody looks at them? In a few hundred bytes.
//!
//! Objects of a kind look much like each other: as text, compressed against the first of their kind,
//! facts take a tenth of what they take as they are.

use std::{marker::PhantomData, sync::OnceLock};

use lz4_flex::block;

use crate::cluster::facts::Facts;

/// Longer texts are not packed: this bounds what unpacking takes.
const MOST: usize = 64 * 1024;

/// Packs facts of one kind.
pub(super) struct Packer<F> {
    /// The text of the first that was packed: what the others have in common with it is not repeated.
    sample: OnceLock<Box<[u8]>>,
    facts: PhantomData<fn() -> F>,
}

/// Packed facts; only the packer that made them can unpack them.
pub(super) struct Packed {
    length: u32,
    text: Box<[u8]>,
}

impl<F> Default for Packer<F> {
    fn default() -> Self {
        Self {
            sample: OnceLock::new(),
            facts: PhantomData,
        }
    }
}

impl<F: Facts> Packer<F> {
    /// `None` when they are to be kept as they are.
    pub(super) fn pack(&self, facts: &F) -> Option<Packed> {
        let text = facts.pack()?;
        if text.len() > MOST {
            return None;
        }
        let sample = self.sample.get_or_init(|| text.clone().into());
        let packed = Packed {
            length: u32::try_from(text.len()).ok()?,
            text: block::compress_with_dict(&text, sample).into(),
        };
        // Whatever is let go can be had again.
        self.unpack(&packed).map(|_| packed)
    }

    /// As they were.
    pub(super) fn unpack(&self, packed: &Packed) -> Option<F> {
        let length = usize::try_from(packed.length).ok()?;
        let text = block::decompress_with_dict(&packed.text, length, self.sample.get()?).ok()?;
        F::unpack(&text)
    }
}
