//! The RFC 8555 client. Knows nothing of Kubernetes.
