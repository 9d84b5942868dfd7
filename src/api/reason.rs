//! Which one-word reasons do conditions and events carry?

/// Of the conditions of a Certificate, and of its events.
pub mod certificate {
    /// Ready: up to date and not expired.
    pub const READY: &str = "Ready";
    /// The Secret does not exist.
    pub const DOES_NOT_EXIST: &str = "DoesNotExist";
    /// The Secret lacks the key or the certificate.
    pub const MISSING_DATA: &str = "MissingData";
    /// Key and certificate of the Secret do not fit, or cannot be read.
    pub const INVALID_KEY_PAIR: &str = "InvalidKeyPair";
    /// The certificate cannot be read, or is not the one asked for.
    pub const INVALID_CERTIFICATE: &str = "InvalidCertificate";
    /// The current request cannot be read.
    pub const INVALID_CERTIFICATE_REQUEST: &str = "InvalidCertificateRequest";
    /// The Secret was issued by another issuer.
    pub const INCORRECT_ISSUER: &str = "IncorrectIssuer";
    /// The Secret belongs to another Certificate.
    pub const INCORRECT_CERTIFICATE: &str = "IncorrectCertificate";
    /// Key or certificate are not what the spec asks for.
    pub const SECRET_MISMATCH: &str = "SecretMismatch";
    /// The spec asks for something else than was requested.
    pub const REQUEST_CHANGED: &str = "RequestChanged";
    /// The CA of the issuer is another than the one that signed.
    pub const CA_CHANGED: &str = "CAChanged";
    /// Renewal is due.
    pub const RENEWING: &str = "Renewing";
    /// The certificate has expired.
    pub const EXPIRED: &str = "Expired";
    /// The certificate is, or is to be, revoked.
    pub const REVOKED: &str = "Revoked";
    /// Renewal is switched off.
    pub const DISABLED: &str = "Disabled";
    /// Issuing: done. Event: an issuance starts or succeeded.
    pub const ISSUED: &str = "Issued";
    /// Event: an issuance starts or succeeded.
    pub const ISSUING: &str = "Issuing";
    /// Event: a private key was made.
    pub const GENERATED: &str = "Generated";
    /// Event: the private key of the Secret is used again.
    pub const REUSED: &str = "Reused";
    /// Event: a certificate that was there already is used again.
    pub const CERTIFICATE_REUSED: &str = "CertificateReused";
    /// Event: a private key was thrown away.
    pub const DELETED: &str = "Deleted";
    /// Event: a private key could not be read.
    pub const DECODE_FAILED: &str = "DecodeFailed";
    /// Event: the private key does not fit and may not be replaced.
    pub const CANNOT_REGENERATE_KEY: &str = "CannotRegenerateKey";
    /// Event: a request was made.
    pub const REQUESTED: &str = "Requested";
    /// Event: a request could not be made.
    pub const REQUEST_FAILED: &str = "RequestFailed";
    /// Event: the password of a key store was not found.
    pub const KEYSTORE_PASSWORD_SECRET_NOT_FOUND: &str = "KeystorePasswordSecretNotFound";
    /// Event: what an ACME server issued is stored, and nobody will know how to have it revoked.
    pub const NOT_RECORDED: &str = "NotRecorded";
    /// Event: no window for renewal could be computed.
    pub const WINDOW_ERROR: &str = "WindowError";
    /// Event: the ACME server gave no renewal information.
    pub const ARI_ERROR: &str = "ARIError";
    /// Event: DNS says something else of a name that could not be validated.
    pub const DNS_CHANGED: &str = "DNSChanged";
    /// Event: the ACME server wants the certificate renewed at another time than it said before.
    pub const RENEWAL_SUGGESTED: &str = "RenewalSuggested";
}

/// Why the Secret of a Certificate is written again.
pub mod secret {
    /// Labels of ours are missing.
    pub const MANAGED_METADATA_MISMATCH: &str = "SecretManagedMetadataMismatch";
    /// Labels or annotations are not those of the template.
    pub const TEMPLATE_MISMATCH: &str = "SecretTemplateMismatch";
    /// Further output formats are missing or too many.
    pub const ADDITIONAL_OUTPUT_FORMATS_MISMATCH: &str = "AdditionalOutputFormatsMismatch";
    /// The owner reference is missing or too much.
    pub const OWNER_REF_MISMATCH: &str = "SecretOwnerRefMismatch";
    /// `ca.crt` lacks the root of another CA that certificates of the issuer are of.
    pub const ANOTHER_CA: &str = "AnotherCA";
    /// `ca.crt` still has the root of a CA that nobody needs any more.
    pub const FORMER_CA: &str = "FormerCA";
    /// managedFields could not be read.
    pub const MANAGED_FIELDS_PARSE_ERROR: &str = "ManagedFieldsParseError";
}

/// Of the conditions of a CertificateRequest, and of its events.
pub mod request {
    /// Ready: not yet.
    pub const PENDING: &str = "Pending";
    /// Ready: never.
    pub const FAILED: &str = "Failed";
    /// Ready: signed.
    pub const ISSUED: &str = "Issued";
    /// Ready: denied.
    pub const DENIED: &str = "Denied";
    /// Approved, by the approver built in.
    pub const APPROVED: &str = "cert-manager.io";
    /// Event: signed.
    pub const CERTIFICATE_ISSUED: &str = "CertificateIssued";
    /// Event: nobody has approved it yet.
    pub const WAITING_FOR_APPROVAL: &str = "WaitingForApproval";
    /// Event: the issuer does not exist.
    pub const ISSUER_NOT_FOUND: &str = "IssuerNotFound";
    /// Event: the issuer is of no kind.
    pub const ISSUER_TYPE_MISSING: &str = "IssuerTypeMissing";
    /// Event: the issuer is not ready.
    pub const ISSUER_NOT_READY: &str = "IssuerNotReady";
    /// Event: what was signed cannot be read.
    pub const DECODE_ERROR: &str = "DecodeError";
    /// Event: the order was made.
    pub const ORDER_CREATED: &str = "OrderCreated";
    /// Event: the order is under way.
    pub const ORDER_PENDING: &str = "OrderPending";
    /// Event: the profile to order is not offered.
    pub const PROFILE_NOT_OFFERED: &str = "ProfileNotOffered";
    /// Event: the order could not be made.
    pub const ORDER_CREATING_ERROR: &str = "OrderCreatingError";
    /// Event: the order could not be read.
    pub const ORDER_GET_ERROR: &str = "OrderGetError";
    /// Event: no order can be built from the request.
    pub const ORDER_BUILDING_ERROR: &str = "OrderBuildingError";
    /// Event: the order failed.
    pub const ORDER_FAILED: &str = "OrderFailed";
    /// Event: the signing request cannot be read.
    pub const REQUEST_PARSING_ERROR: &str = "RequestParsingError";
    /// Event: the API server stands in the way.
    pub const REQUEST_ERROR: &str = "RequestError";
    /// Event: the Secret of the CA does not exist.
    pub const SECRET_MISSING: &str = "SecretMissing";
    /// Event: the Secret of the CA holds no CA that can sign.
    pub const SECRET_INVALID_DATA: &str = "SecretInvalidData";
    /// Event: the CA cannot sign this.
    pub const SIGNING_ERROR: &str = "SigningError";
    /// Event: the certificate ends with the CA, sooner than asked for.
    pub const LIFETIME_SHORTENED: &str = "LifetimeShortened";
    /// Event: the request does not name the Secret of its key.
    pub const MISSING_ANNOTATION: &str = "MissingAnnotation";
    /// Event: the Secret of the request's key does not exist.
    pub const MISSING_SECRET: &str = "MissingSecret";
    /// Event: the request's key cannot be read.
    pub const ERROR_PARSING_KEY: &str = "ErrorParsingKey";
    /// Event: the request asks for what cannot be.
    pub const ERROR_GENERATING: &str = "ErrorGenerating";
    /// Event: the request is for another key than the one it names.
    pub const ERROR_KEY_MATCH: &str = "ErrorKeyMatch";
    /// Event: the request's key cannot sign this.
    pub const ERROR_SIGNING: &str = "ErrorSigning";
    /// Event: what was asked for was made, and some refuse it.
    pub const BAD_CONFIG: &str = "BadConfig";
    /// Event: the request cannot be ordered.
    pub const INVALID_ORDER: &str = "InvalidOrder";
}

/// Of the events of Kubernetes' own CertificateSigningRequest, and of its Failed condition, where they
/// are not those of a CertificateRequest.
pub mod signing_request {
    /// Event: nobody has approved it yet.
    pub const WAITING_APPROVAL: &str = "WaitingApproval";
    /// The requester may not use the Issuer.
    pub const DENIED_REFERENCE: &str = "DeniedReference";
    /// The lifetime asked for is no duration.
    pub const ERROR_PARSE_DURATION: &str = "ErrorParseDuration";
    /// The lifetime asked for is too short.
    pub const INVALID_DURATION: &str = "InvalidDuration";
    /// Event: the Secret of the request's key does not exist.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// The order's certificate is not one for the request.
    pub const ORDER_BAD_CERTIFICATE: &str = "OrderBadCertificate";
}

/// Of the Ready condition of an Issuer or ClusterIssuer, and of its events.
pub mod issuer {
    /// ACME: the account is registered.
    pub const ACME_ACCOUNT_REGISTERED: &str = "ACMEAccountRegistered";
    /// ACME: the account could not be registered.
    pub const ERR_REGISTER_ACME_ACCOUNT: &str = "ErrRegisterACMEAccount";
    /// ACME: the account key could not be had.
    pub const ERR_VERIFY_ACME_ACCOUNT: &str = "ErrVerifyACMEAccount";
    /// ACME: the account could not be changed.
    pub const ERR_UPDATE_ACME_ACCOUNT: &str = "ErrUpdateACMEAccount";
    /// The spec cannot work.
    pub const INVALID_CONFIG: &str = "InvalidConfig";
    /// ACME: the server's URL is none.
    pub const INVALID_URL: &str = "InvalidURL";
    /// ACME: credentials of a solver are missing.
    pub const INVALID_SOLVER: &str = "InvalidSolver";
    /// Rotating: the CA is another one.
    pub const CA_CHANGED: &str = "CAChanged";
    /// SelfSigned: ready.
    pub const IS_READY: &str = "IsReady";
    /// CA: the key pair is fine.
    pub const KEY_PAIR_VERIFIED: &str = "KeyPairVerified";
    /// CA: the Secret could not be read.
    pub const ERR_GET_KEY_PAIR: &str = "ErrGetKeyPair";
    /// CA: the Secret holds no CA.
    pub const ERR_INVALID_KEY_PAIR: &str = "ErrInvalidKeyPair";
    /// Vault: ready.
    pub const VAULT_VERIFIED: &str = "VaultVerified";
    /// Vault: not ready.
    pub const VAULT_ERROR: &str = "VaultError";
    /// Event: the issuer could not be set up.
    pub const ERR_INIT_ISSUER: &str = "ErrInitIssuer";
}

/// Of the events of Orders and Challenges.
pub mod acme {
    /// Order: a challenge was made.
    pub const CREATED: &str = "Created";
    /// Order: the certificate is there.
    pub const COMPLETE: &str = "Complete";
    /// Order: the CA, or the account there, stands in the way.
    pub const ORDER_ERROR: &str = "OrderError";
    /// Order: no solver fits.
    pub const SOLVER: &str = "Solver";
    /// Challenge: the CA, or the account there, stands in the way.
    pub const CHALLENGE_ERROR: &str = "ChallengeError";
    /// Challenge: its turn has come.
    pub const STARTED: &str = "Started";
    /// Challenge: the proof is in place.
    pub const PRESENTED: &str = "Presented";
    /// Challenge: the proof could not be put in place.
    pub const PRESENT_ERROR: &str = "PresentError";
    /// Challenge: the proof could not be taken away.
    pub const CLEAN_UP_ERROR: &str = "CleanUpError";
    /// Challenge: the server is satisfied.
    pub const DOMAIN_VERIFIED: &str = "DomainVerified";
    /// Challenge: the server is not satisfied.
    pub const FAILED: &str = "Failed";
}
