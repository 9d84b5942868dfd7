//! Does PEM text give back what was written into it, whatever stands around?

use proptest::{collection::vec, prelude::*};

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn blocks_are_found_again(
        all in vec((vec(any::<u8>(), 0..300), "[A-Z0-9]{1,9}( [A-Z]{1,9}){0,2}"), 0..5),
        between in "[ -,.-~\n]{0,40}",
        windows in any::<bool>(),
    ) {
        let mut text = between.clone();
        for (der, label) in &all {
            let block = encode(label, der);
            prop_assert_eq!(&*encode_secret(label, der), &block);
            text.push_str(&block);
            text.push_str(&between);
        }
        if windows {
            text = text.replace('\n', "\r\n");
        }
        let found = blocks(text.as_bytes(), "text", text.len()).unwrap();
        let found = found.into_iter().map(|block| (block.der.to_vec(), block.label));
        prop_assert_eq!(found.collect::<Vec<_>>(), all);
    }
}
