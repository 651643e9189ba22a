//! What `fuzz/` runs on this folder's packets.

use super::engine::EngineVersion;
use super::inspect::Inspector;
use crate::wire::inbound::Verdict;

/// Engine.IO packets from anywhere, one by one and as a polling request's body: what is handed on
/// in their place needs no further replacement.
pub fn fuzz_packets(input: &[u8]) {
    let Some((&settings, packet)) = input.split_first() else {
        return;
    };
    let text = (settings & 1 == 0).then_some(packet);
    if let Verdict::Replace(text) = Inspector::default().inspect(text) {
        assert_eq!(Inspector::default().inspect(Some(&text)), Verdict::Pass);
    }
    for version in [EngineVersion::V3, EngineVersion::V4] {
        let judge = Inspector::inspect;
        for body in Inspector::default()
            .inspect_payload(version, packet, judge)
            .into_iter()
            .flatten()
        {
            let again = Inspector::default().inspect_payload(version, &body, judge);
            assert_eq!(again, Some(vec![body]));
        }
    }
}
