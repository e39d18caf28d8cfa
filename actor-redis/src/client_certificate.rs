//! Whether a client certificate and its key can be used, said before the first connection is made with them.

use redis::ConnectionAddr;
use rustls::Error as Tls;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::error::{Error, Kind};

/// Refuses a certificate or a key that cannot be read, or that does not belong to the other.
pub(crate) fn check(addr: &ConnectionAddr, certificate: &[u8], key: &[u8]) -> Result<(), Error> {
    let unusable = |what| Err(Kind::ClientCertificate(what).into());
    if !matches!(addr, ConnectionAddr::TcpTls { .. }) {
        return unusable("it needs TLS, which is a URL that begins with rediss://");
    }
    let Ok(chain) = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>() else {
        return unusable("its PEM cannot be read");
    };
    if chain.is_empty() {
        return unusable("there is none in the PEM that was given first (its key is given second)");
    }
    let Ok(key) = PrivateKeyDer::from_pem_slice(key) else {
        return unusable("there is no private key in the PEM that was given second, or it is encrypted");
    };
    // The broker's URL has chosen one by now.
    let Some(cryptography) = CryptoProvider::get_default() else { return Ok(()) };
    match CertifiedKey::from_der(chain, key, cryptography) {
        Ok(_) => Ok(()),
        Err(Tls::InconsistentKeys(_)) => unusable("the key is that of another certificate"),
        Err(Tls::InvalidCertificate(_)) => unusable("its PEM holds no certificate that can be read"),
        Err(_) => unusable("the key cannot be read, or is of a kind that TLS does not use"),
    }
}
