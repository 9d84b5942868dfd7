//! Putting the route of an HTTP-01 challenge in place, and taking exactly that away.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice, networking::v1::Ingress};
use kube::{Client, Resource, api::ObjectMeta, core::NamespaceResourceScope};

use crate::{
    api::{acme::Solver, http01::IngressSolver, names::field_manager},
    challenge::facts::ChallengeFacts,
    cluster::{
        Class, ObjectKey, RequestError,
        write::{self, Created, Kind, api_of},
    },
    solver::http01::{
        ingress,
        route::{self, PathType},
    },
};

/// What keeps a route from being put in place or taken away.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object of the name we use is not ours.
    #[error(
        "{kind} {object} exists already and is not owned by this Challenge: delete or rename it"
    )]
    Foreign {
        /// Its kind.
        kind: String,
        /// Its name.
        object: ObjectKey,
    },
    /// The Ingress to edit does not exist.
    #[error("Ingress {0}, which the solver names, does not exist")]
    NoIngress(ObjectKey),
    /// Nobody would answer.
    #[error("the HTTP-01 responder has no ready address yet")]
    NoEndpoint,
    /// An object went away while it was looked at.
    #[error("{kind} {object} was deleted meanwhile")]
    Gone {
        /// Its kind.
        kind: String,
        /// Its name.
        object: ObjectKey,
    },
    /// A request to the API server failed.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A field asks for what is not there yet.
    #[error("{0} is not supported by this version of certwright")]
    Unsupported(&'static str),
}

impl Error {
    /// How to go on.
    pub fn class(&self) -> Class {
        match self {
            Self::Foreign { .. } | Self::NoIngress(_) | Self::NoEndpoint => Class::Transient,
            Self::Gone { .. } => Class::Conflict,
            Self::Request(error) => error.class(),
            Self::Unsupported(_) => Class::Permanent,
        }
    }
}

/// Where routes lead, and what they carry.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// The addresses of the responder.
    pub endpoints: BTreeSet<SocketAddr>,
    /// Labels for the objects; those that tell a challenge by are not overridden.
    pub labels: &'a BTreeMap<String, String>,
    /// How the path is compared.
    pub path_type: PathType,
}

/// Lead the path of `challenge` to `target`: Service, EndpointSlices and, last, the Ingress, so
/// that nothing routes to nowhere. What stands already is left as it is, or brought up to date.
pub async fn present(
    client: &Client,
    challenge: &ChallengeFacts,
    target: &Target<'_>,
) -> Result<(), Error> {
    let solver = ingress_solver(&challenge.spec.solver)?;
    if target.endpoints.is_empty() {
        return Err(Error::NoEndpoint);
    }
    let mut wanted = route::service(challenge, solver.service_type.as_deref());
    label(&mut wanted.metadata, target);
    let (service, stood) = ensure(client, challenge, wanted, &challenge.meta.uid).await?;
    let slices = route::endpoint_slices(challenge, &service, &target.endpoints);
    if stood {
        // Where the responder was before is where nobody answers now.
        remove_slices(client, challenge, &service, &slices).await?;
    }
    let service_uid = service.metadata.uid.clone().unwrap_or_default();
    for mut slice in slices {
        label(&mut slice.metadata, target);
        let wanted = slice.clone();
        let (standing, _) = ensure(client, challenge, slice, &service_uid).await?;
        if standing.endpoints != wanted.endpoints || standing.ports != wanted.ports {
            let api = api_of::<EndpointSlice>(client, &challenge.meta.key);
            write::apply(&api, field_manager::CERTWRIGHT, &wanted).await?;
        }
    }
    match challenge.edited_ingress() {
        Some(name) => {
            let add =
                |ingress: &mut Ingress| ingress::add_path(ingress, challenge, target.path_type);
            edit(client, challenge, name, add, true).await
        }
        None => {
            let mut wanted = route::ingress(challenge, solver, target.path_type);
            label(&mut wanted.metadata, target);
            ensure(client, challenge, wanted, &challenge.meta.uid)
                .await
                .map(drop)
        }
    }
}

/// Take away what [`present`] made; what is gone already, or is not ours, is passed over.
pub async fn clean_up(client: &Client, challenge: &ChallengeFacts) -> Result<(), Error> {
    match challenge.edited_ingress() {
        Some(name) => {
            let remove = |ingress: &mut Ingress| ingress::remove_path(ingress, challenge);
            edit(client, challenge, name, remove, false).await?;
        }
        None => remove::<Ingress>(client, challenge).await?,
    }
    // The EndpointSlices go with their Service.
    remove::<Service>(client, challenge).await
}

fn label(metadata: &mut ObjectMeta, target: &Target<'_>) {
    let labels = metadata.labels.get_or_insert_default();
    for (key, value) in target.labels {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

fn ingress_solver(solver: &Solver) -> Result<&IngressSolver, Error> {
    let http01 = solver
        .http01
        .as_ref()
        .ok_or(Error::Unsupported("a solver without http01"))?;
    if http01.gateway_http_route.is_some() {
        return Err(Error::Unsupported("http01.gatewayHTTPRoute"));
    }
    http01
        .ingress
        .as_ref()
        .ok_or(Error::Unsupported("http01 without ingress"))
}

/// Create `wanted`, or find it standing and owned by `owner`; answers which of the two, too.
async fn ensure<K>(
    client: &Client,
    challenge: &ChallengeFacts,
    wanted: K,
    owner: &str,
) -> Result<(K, bool), Error>
where
    K: Kind + Resource<Scope = NamespaceResourceScope>,
{
    let api = api_of::<K>(client, &challenge.meta.key);
    let key = ObjectKey::of(wanted.meta());
    // What was presented stands, as a rule: looking is cheaper than writing.
    let mut standing = match challenge.status.presented {
        Some(true) => write::get(&api, &key).await?,
        Some(false) | None => None,
    };
    if standing.is_none() {
        standing = match write::create(&api, &wanted).await? {
            Created::New(created) => return Ok((created, false)),
            Created::Exists => write::get(&api, &key).await?,
        };
    }
    let kind = || K::kind(&()).into_owned();
    match standing {
        None => Err(Error::Gone {
            kind: kind(),
            object: key,
        }),
        Some(standing) if !is_owned(&standing, owner) => Err(Error::Foreign {
            kind: kind(),
            object: key,
        }),
        Some(standing) => Ok((standing, true)),
    }
}

/// Take away the EndpointSlices of `service` beyond the `wanted` ones.
async fn remove_slices(
    client: &Client,
    challenge: &ChallengeFacts,
    service: &Service,
    wanted: &[EndpointSlice],
) -> Result<(), Error> {
    let api = api_of::<EndpointSlice>(client, &challenge.meta.key);
    let service_name = service.metadata.name.as_deref().unwrap_or_default();
    let service_uid = service.metadata.uid.as_deref().unwrap_or_default();
    for family in route::FAMILIES {
        let wanted = wanted.iter().filter(|slice| slice.address_type == family);
        for index in wanted.count().. {
            let name = route::slice_name(service_name, family, index);
            let key = ObjectKey::new(challenge.meta.key.namespace.clone(), name);
            let Some(standing) = write::get(&api, &key).await? else {
                break;
            };
            if !is_owned(&standing, service_uid) {
                break;
            }
            let uid = standing.metadata.uid.unwrap_or_default();
            write::delete(&api, &key, &uid).await?;
        }
    }
    Ok(())
}

async fn remove<K>(client: &Client, challenge: &ChallengeFacts) -> Result<(), Error>
where
    K: Kind + Resource<Scope = NamespaceResourceScope>,
{
    let api = api_of::<K>(client, &challenge.meta.key);
    let key = ObjectKey::new(challenge.meta.key.namespace.clone(), route::name(challenge));
    let Some(standing) = write::get(&api, &key).await? else {
        return Ok(());
    };
    if !is_owned(&standing, &challenge.meta.uid) {
        return Ok(());
    }
    let uid = standing.meta().uid.clone().unwrap_or_default();
    Ok(write::delete(&api, &key, &uid).await?)
}

/// Change the Ingress `name` by `change`, only if it is still as it was read.
async fn edit(
    client: &Client,
    challenge: &ChallengeFacts,
    name: &str,
    change: impl FnOnce(&mut Ingress) -> bool,
    must_exist: bool,
) -> Result<(), Error> {
    let api = api_of::<Ingress>(client, &challenge.meta.key);
    let key = ObjectKey::new(challenge.meta.key.namespace.clone(), name);
    let Some(mut standing) = write::get(&api, &key).await? else {
        return if must_exist {
            Err(Error::NoIngress(key))
        } else {
            Ok(())
        };
    };
    if !change(&mut standing) {
        return Ok(());
    }
    write::replace(&api, &standing).await?;
    Ok(())
}

fn is_owned<K: Resource>(object: &K, owner: &str) -> bool {
    let owners = object.meta().owner_references.iter().flatten();
    owners
        .into_iter()
        .any(|reference| reference.controller == Some(true) && reference.uid == owner)
}
