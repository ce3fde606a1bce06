//! Which services the kernel refuses, as the log, the events and the status tell it.

use std::collections::BTreeMap;

use holdfast_config::Name;
use holdfast_engine::Pool;

use super::{Director, Kernel};
use crate::events::News;

impl Director {
    /// Says which services the kernel refuses and why, once.
    pub(super) fn tell_refusals(&mut self) {
        let Some(kernel) = &self.kernel else { return };
        let refused: BTreeMap<Name, Vec<String>> = match kernel.refuses_any() {
            false => BTreeMap::new(),
            true => {
                let pools = self.engine.pools().iter();
                let found = pools.map(|(name, pool)| (name.clone(), refused(kernel, pool)));
                found.filter(|(_, sentences)| !sentences.is_empty()).collect()
            }
        };
        if refused == self.refused {
            return;
        }
        for (service, sentences) in &refused {
            if self.refused.get(service) != Some(sentences) {
                let reason = sentences.join("; ");
                let (kind, subject) = ("service.refused".to_owned(), service.to_string());
                let text = format!("refused by the kernel: {reason}");
                self.hooks.events().tell(News { kind, subject, text, ..News::default() });
                tracing::error!(%service, reason, "the kernel's table is not as it should be: it refuses a service, and is asked for it again; the others go on");
            }
        }
        for service in self.refused.keys().filter(|name| !refused.contains_key(*name)) {
            let (kind, subject) = ("service.taken".to_owned(), service.to_string());
            let text = "the kernel refuses nothing of it any more".to_owned();
            self.hooks.events().tell(News { kind, subject, text, ..News::default() });
            tracing::info!(%service, "the kernel refuses nothing of the service any more");
        }
        self.refused = refused;
    }
}

/// What the kernel refuses of the services of `pool`.
fn refused(kernel: &Kernel, pool: &Pool) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    for key in pool.keys() {
        for sentence in kernel.refused(&key) {
            // A scheduler is missing for all addresses alike.
            if !sentences.contains(sentence) {
                sentences.push(sentence.clone());
            }
        }
    }
    sentences
}
