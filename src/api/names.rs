//! What are the labels, annotations, finalizers and field managers called?

/// API group of Certificates, requests and issuers.
pub const GROUP: &str = "cert-manager.io";
/// API group of Orders and Challenges.
pub const ACME_GROUP: &str = "acme.cert-manager.io";
/// Kind of an issuer that names none.
pub const ISSUER_KIND: &str = "Issuer";
/// Kind of an issuer for every namespace.
pub const CLUSTER_ISSUER_KIND: &str = "ClusterIssuer";
/// Value of labels and annotations that say yes.
pub const TRUE: &str = "true";

/// Labels.
pub mod label {
    /// On Secrets of certificates and keys: watched in full. Value `true`.
    pub const WATCHED_SECRET: &str = "controller.cert-manager.io/fao";
    /// On a Secret that holds the private key of an issuance under way. Value `true`.
    pub const NEXT_PRIVATE_KEY: &str = "cert-manager.io/next-private-key";
    /// On the objects that route a challenge: Adler-32 of the name, in decimal.
    pub const HTTP_DOMAIN: &str = "acme.cert-manager.io/http-domain";
    /// On the objects that route a challenge: Adler-32 of the token, in decimal.
    pub const HTTP_TOKEN: &str = "acme.cert-manager.io/http-token";
    /// On the objects that route a challenge. Value `true`.
    pub const HTTP01_SOLVER: &str = "acme.cert-manager.io/http01-solver";
    /// On a namespace whose objects cert-manager's webhook did not check. Value `true`.
    pub const DISABLE_VALIDATION: &str = "cert-manager.io/disable-validation";
    /// On account key Secrets and the leader Lease. Value [`super::MANAGED_BY`].
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// On the EndpointSlices of a challenge; value [`super::ENDPOINTS_MANAGED_BY`].
    pub const ENDPOINT_SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
    /// On an EndpointSlice: its Service.
    pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
    /// Set by `kubectl apply --prune`; not copied from the object it is on.
    pub const APPLYSET_PART_OF: &str = "applyset.kubernetes.io/part-of";
}

/// Value of [`label::MANAGED_BY`], as cert-manager writes it.
pub const MANAGED_BY: &str = "cert-manager";
/// Value of [`label::ENDPOINT_SLICE_MANAGED_BY`].
pub const ENDPOINTS_MANAGED_BY: &str = "certwright.io";

/// Annotations.
pub mod annotation {
    /// Start of our keys on requests, which never change once written. Cert-manager compares without
    /// the slash, so `cert-manager.iox/a` is one of them.
    pub const PROTECTED_PREFIXES: [&str; 2] = ["cert-manager.io", "acme.cert-manager.io"];
    /// Start of the keys that a Secret template may not set, but for [`ALLOW_DIRECT_INJECTION`].
    pub const TEMPLATE_FORBIDDEN_PREFIX: &str = "cert-manager.io/";

    /// On the Secret and the request: the Certificate.
    pub const CERTIFICATE_NAME: &str = "cert-manager.io/certificate-name";
    /// On the Secret: name of the issuer, as the request has it.
    pub const ISSUER_NAME: &str = "cert-manager.io/issuer-name";
    /// On the Secret: kind of the issuer. On an Ingress or Gateway: the kind to use.
    pub const ISSUER_KIND: &str = "cert-manager.io/issuer-kind";
    /// On the Secret: API group of the issuer. On an Ingress or Gateway: the group to use.
    pub const ISSUER_GROUP: &str = "cert-manager.io/issuer-group";

    /// Common name. On the Secret always, even when empty.
    pub const COMMON_NAME: &str = "cert-manager.io/common-name";
    /// DNS names, as CSV. On the Secret always, even when empty.
    pub const ALT_NAMES: &str = "cert-manager.io/alt-names";
    /// IP addresses, as CSV. On the Secret always, even when empty.
    pub const IP_SANS: &str = "cert-manager.io/ip-sans";
    /// URIs, as CSV. On the Secret always, even when empty.
    pub const URI_SANS: &str = "cert-manager.io/uri-sans";
    /// E-mail addresses, as CSV.
    pub const EMAIL_SANS: &str = "cert-manager.io/email-sans";
    /// Organizations of the subject, as CSV.
    pub const SUBJECT_ORGANIZATIONS: &str = "cert-manager.io/subject-organizations";
    /// Organizational units of the subject, as CSV.
    pub const SUBJECT_ORGANIZATIONAL_UNITS: &str = "cert-manager.io/subject-organizationalunits";
    /// Countries of the subject, as CSV.
    pub const SUBJECT_COUNTRIES: &str = "cert-manager.io/subject-countries";
    /// States or provinces of the subject, as CSV.
    pub const SUBJECT_PROVINCES: &str = "cert-manager.io/subject-provinces";
    /// Cities of the subject, as CSV.
    pub const SUBJECT_LOCALITIES: &str = "cert-manager.io/subject-localities";
    /// Postal codes of the subject, as CSV.
    pub const SUBJECT_POSTAL_CODES: &str = "cert-manager.io/subject-postalcodes";
    /// Street addresses of the subject, as CSV.
    pub const SUBJECT_STREET_ADDRESSES: &str = "cert-manager.io/subject-streetaddresses";
    /// serialNumber of the subject.
    pub const SUBJECT_SERIAL_NUMBER: &str = "cert-manager.io/subject-serialnumber";

    /// On a request: the revision that it is for.
    pub const CERTIFICATE_REVISION: &str = "cert-manager.io/certificate-revision";
    /// On a request: the Secret with the private key.
    pub const PRIVATE_KEY_SECRET_NAME: &str = "cert-manager.io/private-key-secret-name";
    /// On a Certificate: keep a self-made certificate in the Secret until the real one is there.
    /// Value exactly `true`.
    pub const ISSUE_TEMPORARY_CERTIFICATE: &str = "cert-manager.io/issue-temporary-certificate";

    /// On a Secret: cainjector may read it. Value `true`.
    pub const ALLOW_DIRECT_INJECTION: &str = "cert-manager.io/allow-direct-injection";
    /// On a webhook, CRD or APIService: CA bundle from the Secret of this Certificate.
    pub const INJECT_CA_FROM: &str = "cert-manager.io/inject-ca-from";
    /// On a webhook, CRD or APIService: CA bundle from this Secret.
    pub const INJECT_CA_FROM_SECRET: &str = "cert-manager.io/inject-ca-from-secret";
    /// On a webhook, CRD or APIService: CA bundle of the API server.
    pub const INJECT_APISERVER_CA: &str = "cert-manager.io/inject-apiserver-ca";

    /// On an Issuer or Certificate: custom fields for Venafi, as JSON.
    pub const VENAFI_CUSTOM_FIELDS: &str = "venafi.cert-manager.io/custom-fields";
    /// On a request: where Venafi keeps the certificate.
    pub const VENAFI_PICKUP_ID: &str = "venafi.cert-manager.io/pickup-id";

    /// On a Certificate: edit this Ingress instead of making one.
    pub const HTTP01_OVERRIDE_INGRESS_NAME: &str =
        "acme.cert-manager.io/http01-override-ingress-name";
    /// On a Certificate: class annotation of the Ingress.
    pub const HTTP01_OVERRIDE_INGRESS_CLASS: &str =
        "acme.cert-manager.io/http01-override-ingress-class";
    /// On a Certificate: ingressClassName of the Ingress.
    pub const HTTP01_OVERRIDE_INGRESS_CLASS_NAME: &str =
        "acme.cert-manager.io/http01-override-ingress-ingressclassname";
    /// On a Certificate: name of a further parent of the HTTPRoute.
    pub const HTTP01_PARENT_REF_NAME: &str = "acme.cert-manager.io/http01-parentrefname";
    /// On a Certificate: kind of that parent.
    pub const HTTP01_PARENT_REF_KIND: &str = "acme.cert-manager.io/http01-parentrefkind";
    /// On a Certificate: namespace of that parent.
    pub const HTTP01_PARENT_REF_NAMESPACE: &str = "acme.cert-manager.io/http01-parentrefnamespace";
    /// On a ListenerSet: use the parent Gateway as parent of the HTTPRoute.
    pub const HTTP01_PARENT_REF_FALLBACK: &str = "acme.cert-manager.io/http01-parentreffallback";
    /// On an Ingress: edit it instead of making another. Value `true`.
    pub const HTTP01_EDIT_IN_PLACE: &str = "acme.cert-manager.io/http01-edit-in-place";
    /// On an Ingress: class annotation of the Ingress that solves.
    pub const HTTP01_INGRESS_CLASS: &str = "acme.cert-manager.io/http01-ingress-class";
    /// On an Ingress: ingressClassName of the Ingress that solves.
    pub const HTTP01_INGRESS_INGRESS_CLASS_NAME: &str =
        "acme.cert-manager.io/http01-ingress-ingressclassname";

    /// On a solver's Ingress: its class, for controllers that go by that.
    pub const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";
    /// On a solver's Ingress: who may ask, for ingress-nginx. Value [`super::ANY_SOURCE`].
    pub const NGINX_WHITELIST: &str = "nginx.ingress.kubernetes.io/whitelist-source-range";
    /// On a solver's Service: no mTLS on port 8089. Value `NONE`.
    pub const ISTIO_AUTH_8089: &str = "auth.istio.io/8089";
    /// On a solver's pod: no sidecar. Value `false`.
    pub const ISTIO_INJECT: &str = "sidecar.istio.io/inject";
    /// On a solver's pod: it may be moved. Value `true`.
    pub const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
    /// Set by `kubectl apply`; not copied from the object it is on.
    pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

    /// On an Issuance: what was held back because too many were orphaned at once may go on. Value
    /// `true`.
    pub const CONFIRM: &str = "certwright.io/confirm";
    /// On a Certificate: revoke the certificate: `REASON[,serial=HEX]`.
    pub const REVOKE: &str = "certwright.io/revoke";
    /// On a Certificate: the user who set [`REVOKE`]. A policy writes it, and lets nobody write another.
    pub const REVOKE_REQUESTED_BY: &str = "certwright.io/revoke-requested-by";
    /// On a Certificate: whether it may have a certificate that was issued for another one that asks
    /// for the same, and another may have its own. Value `false` or `true`, which is the default.
    pub const REUSE: &str = "certwright.io/reuse";
    /// On a request: the Issuance of the certificate that is used again for it.
    pub const REUSED_ISSUANCE: &str = "certwright.io/reused-issuance";
    /// On a Certificate or a request: the ACME profile to order. `preferred:` before its name: where
    /// the server offers it.
    pub const ACME_PROFILE: &str = "certwright.io/acme-profile";
    /// On an issuer with a CA: whether what it signed is re-issued when that changes. Value `Never` or
    /// `Automatic`.
    pub const ROTATION: &str = "certwright.io/rotation";
    /// On an issuer: how many orders its CA takes, where that is not known or not so.
    pub const RATE_LIMITS: &str = "certwright.io/rate-limits";
}

/// Annotations of an Ingress, Gateway or ListenerSet that ask for a Certificate.
pub mod ingress {
    /// Issuer in the namespace.
    pub const ISSUER: &str = "cert-manager.io/issuer";
    /// ClusterIssuer.
    pub const CLUSTER_ISSUER: &str = "cert-manager.io/cluster-issuer";
    /// The default issuer, as kube-lego had it. Value `true`.
    pub const TLS_ACME: &str = "kubernetes.io/tls-acme";
    /// duration of the Certificate.
    pub const DURATION: &str = "cert-manager.io/duration";
    /// renewBefore of the Certificate.
    pub const RENEW_BEFORE: &str = "cert-manager.io/renew-before";
    /// renewBeforePercentage of the Certificate.
    pub const RENEW_BEFORE_PERCENTAGE: &str = "cert-manager.io/renew-before-percentage";
    /// usages of the Certificate, with commas.
    pub const USAGES: &str = "cert-manager.io/usages";
    /// revisionHistoryLimit of the Certificate.
    pub const REVISION_HISTORY_LIMIT: &str = "cert-manager.io/revision-history-limit";
    /// privateKey.algorithm of the Certificate.
    pub const PRIVATE_KEY_ALGORITHM: &str = "cert-manager.io/private-key-algorithm";
    /// privateKey.encoding of the Certificate.
    pub const PRIVATE_KEY_ENCODING: &str = "cert-manager.io/private-key-encoding";
    /// privateKey.size of the Certificate.
    pub const PRIVATE_KEY_SIZE: &str = "cert-manager.io/private-key-size";
    /// privateKey.rotationPolicy of the Certificate.
    pub const PRIVATE_KEY_ROTATION_POLICY: &str = "cert-manager.io/private-key-rotation-policy";
    /// secretTemplate of the Certificate, as JSON.
    pub const SECRET_TEMPLATE: &str = "cert-manager.io/secret-template";
    /// Listeners to leave alone, with commas.
    pub const IGNORE_TLS_LISTENERS: &str = "cert-manager.io/ignore-tls-listeners";
}

/// Annotations of a Kubernetes CertificateSigningRequest.
pub mod signing_request {
    /// Lifetime to ask for.
    pub const DURATION: &str = "experimental.cert-manager.io/request-duration";
    /// Whether the certificate is a CA.
    pub const IS_CA: &str = "experimental.cert-manager.io/request-is-ca";
    /// The Secret with the private key, for SelfSigned.
    pub const PRIVATE_KEY_SECRET_NAME: &str =
        "experimental.cert-manager.io/private-key-secret-name";
    /// Custom fields for Venafi, as JSON.
    pub const VENAFI_CUSTOM_FIELDS: &str = "venafi.experimental.cert-manager.io/custom-fields";
    /// Where Venafi keeps the certificate.
    pub const VENAFI_PICKUP_ID: &str = "venafi.experimental.cert-manager.io/pickup-id";
}

/// Who may ask, on a solver's Ingress: everybody.
pub const ANY_SOURCE: &str = "0.0.0.0/0,::/0";

/// Finalizers.
pub mod finalizer {
    /// On a Challenge whose record stands in an external system.
    pub const CHALLENGE: &str = "acme.cert-manager.io/finalizer";
    /// The same, as cert-manager wrote it before.
    pub const CHALLENGE_LEGACY: &str = "finalizer.acme.cert-manager.io";
}

/// Field managers.
pub mod field_manager {
    /// Of the Secret of a Certificate. The name is cert-manager's: what it owns is ours on a switch.
    pub const ISSUING: &str = "cert-manager-certificates-issuing";
    /// Of the finalizer of a Challenge. The name is cert-manager's: it takes away only what it owns.
    pub const CHALLENGES: &str = "cert-manager-challenges";
    /// Of everything else we write.
    pub const CERTWRIGHT: &str = "certwright";
}

/// Entries of the Secret of a Certificate.
pub mod secret_key {
    /// The certificate and its intermediates, as PEM.
    pub const CERTIFICATE: &str = "tls.crt";
    /// The private key, as PEM.
    pub const PRIVATE_KEY: &str = "tls.key";
    /// The CA certificate, as PEM.
    pub const CA: &str = "ca.crt";
    /// The private key, as DER.
    pub const DER: &str = "key.der";
    /// Private key and chain, as PEM.
    pub const COMBINED_PEM: &str = "tls-combined.pem";
    /// Java key store.
    pub const JKS_KEYSTORE: &str = "keystore.jks";
    /// Java trust store.
    pub const JKS_TRUSTSTORE: &str = "truststore.jks";
    /// PKCS#12 key store.
    pub const PKCS12_KEYSTORE: &str = "keystore.p12";
    /// PKCS#12 trust store.
    pub const PKCS12_TRUSTSTORE: &str = "truststore.p12";
}
