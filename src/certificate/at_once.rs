//! What is the next step of an issuance whose key is only in memory, and when does it have to wait?

use crate::{
    certificate::{
        action::{Action, KeyPlace, Plan},
        issue::Issuance,
        standing::{Standing, standing},
    },
    request::facts::RequestFacts,
};

impl Issuance<'_> {
    /// The next step; `None` where somebody has to be waited for: what is waited for must be stored
    /// and told, the key first of all.
    pub(super) fn at_once(&self) -> Option<Plan> {
        let leftover = self.leftover();
        if !leftover.is_empty() {
            return Some(Plan::act(leftover));
        }
        let situation = self.situation;
        match self.requests.next.as_slice() {
            [] => {
                let is_free = !situation.taken.request && situation.unrequestable.is_none();
                (self.is_answered_here() && is_free).then(|| self.request())
            }
            [request] => self.answer(request),
            _ => None,
        }
    }

    /// Whether nobody has to be asked for the certificate.
    fn is_answered_here(&self) -> bool {
        self.situation.answers_at_once || self.reused.is_some()
    }

    fn answer(&self, request: &RequestFacts) -> Option<Plan> {
        match standing(request) {
            Standing::Failed(reason, message) => Some(self.fail(reason, message)),
            Standing::Issued => {
                let issued = self.situation.issued.as_ref();
                let is_in_vain = issued.is_some_and(|issued| self.is_in_vain(issued));
                (!is_in_vain).then(|| self.proceed(request))
            }
            Standing::Pending { .. } => match &self.key {
                KeyPlace::Held(held) if self.is_answered_here() => {
                    Some(Plan::act(vec![Action::AnswerRequest {
                        key: request.meta.key.clone(),
                        held: held.clone(),
                    }]))
                }
                KeyPlace::Held(_) | KeyPlace::Stored(_) => None,
            },
        }
    }
}
