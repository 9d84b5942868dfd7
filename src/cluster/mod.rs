//! The kit over kube: guarded watches and caches, the reconcile driver, writes, leader, health.
