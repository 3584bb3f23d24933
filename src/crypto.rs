//! Which cryptography TLS uses: ring, said once for the process.

/// Says so. Another part of the process may have said so before, which is as good.
pub(crate) fn install() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}
