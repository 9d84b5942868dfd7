//! Certificate → private key, CertificateRequest, Secret.
