//! TLS 1.3 with raw Ed25519 public keys (RFC 7250, RFC 8410) for both sides. ring is the one crypto
//! provider: it needs only a C compiler to build.

use isobit_job::{NodeKey, SecretKey};
use isobit_wire::ALPN;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, PeerIncompatible, SignatureScheme};
use std::sync::{Arc, Mutex, PoisonError};

/// The key or the protocol version cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up TLS: {0}")]
pub struct TlsError(String);

impl TlsError {
    fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

pub(crate) fn server(secret: &SecretKey) -> Result<QuicServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::new)?
        .with_client_cert_verifier(Arc::new(AnyKey(provider)))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified(secret)?)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // No session resumption: every connection proves its key again.
    config.send_tls13_tickets = 0;
    QuicServerConfig::try_from(config).map_err(TlsError::new)
}

pub(crate) fn client(secret: &SecretKey, expected: NodeKey) -> Result<(QuicClientConfig, Seen), TlsError> {
    let provider = Arc::new(ring::default_provider());
    let seen = Seen::default();
    let verifier = ThisKey { provider: Arc::clone(&provider), expected, seen: seen.clone() };
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::new)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified(secret)?)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok((QuicClientConfig::try_from(config).map_err(TlsError::new)?, seen))
}

/// The key in a SubjectPublicKeyInfo, if it is an Ed25519 key.
pub(crate) fn key_of(spki: &[u8]) -> Option<NodeKey> {
    NodeKey::from_spki_der(spki).ok()
}

/// Our own identity in the form that rustls expects: the public key in place of a certificate.
fn certified(secret: &SecretKey) -> Result<Arc<CertifiedKey>, TlsError> {
    let private = PrivatePkcs8KeyDer::from(secret.to_pkcs8_der());
    let signing = ring::sign::any_eddsa_type(&private).map_err(TlsError::new)?;
    let spki = secret.public().to_spki_der();
    Ok(Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], signing)))
}

fn verify(
    provider: &CryptoProvider,
    message: &[u8],
    cert: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let spki = SubjectPublicKeyInfoDer::from(cert.as_ref());
    verify_tls13_signature_with_raw_key(message, &spki, signature, &provider.signature_verification_algorithms)
}

fn tls12() -> rustls::Error {
    rustls::Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic)
}

/// The wrong key that the client's verifier saw, for a better error message than that of TLS.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Mutex<Option<NodeKey>>>);

impl Seen {
    pub(crate) fn wrong_key(&self) -> Option<NodeKey> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts only the expected key.
#[derive(Debug)]
struct ThisKey {
    provider: Arc<CryptoProvider>,
    expected: NodeKey,
    seen: Seen,
}

impl ServerCertVerifier for ThisKey {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match key_of(cert) {
            Some(key) if key == self.expected => Ok(ServerCertVerified::assertion()),
            found => {
                *self.seen.0.lock().unwrap_or_else(PoisonError::into_inner) = found;
                Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify(&self.provider, message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Accepts every key that the peer proves to hold. The caller decides which keys may submit jobs.
#[derive(Debug)]
struct AnyKey(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        cert: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match key_of(cert) {
            Some(_) => Ok(ClientCertVerified::assertion()),
            None => Err(rustls::Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify(&self.0, message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
