//! CertificateRequest: approve, hand to the issuer, report.
