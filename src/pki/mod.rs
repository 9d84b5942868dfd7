//! Keys, requests, certificates and chains. No I/O.
