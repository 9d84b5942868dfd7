//! What must hold for Issuers of any shape?

use serde_json::{from_slice, from_value, to_value};

use super::{
    facts::IssuerFacts,
    kind::Signer,
    solvers::{self, Way},
};
use crate::{api::issuer::Issuer, cluster::Facts};

/// Issuers as the API server sends them: what is kept is read again as it was, and looked at.
pub fn issuer(data: &[u8]) {
    let Ok(issuer) = from_slice::<Issuer>(data) else {
        return;
    };
    let written = to_value(&issuer).ok();
    let again = written.clone().and_then(|value| from_value(value).ok());
    let again = again.and_then(|issuer: Issuer| to_value(issuer).ok());
    assert_eq!(again, written);

    let facts = IssuerFacts::reduce(issuer);
    let _ = facts.indexes().len();
    if let Ok(Signer::Acme(acme)) = Signer::of(&facts.spec) {
        let solvers = acme.solvers.as_deref().unwrap_or_default();
        for credential in solvers::credentials(solvers) {
            assert!(solvers.get(credential.solver).is_some());
        }
        let ways = solvers.iter().map(|solver| Way::of(solver).to_string());
        assert!(ways.into_iter().all(|way| !way.is_empty()));
        let remarks = solvers::remarks(acme);
        assert!(remarks.is_none_or(|remarks| !remarks.is_empty()));
    }
}
