//! Certificates and keys.

use std::{fs, path::Path, sync::Arc};

use hyper_rustls::ConfigBuilderExt as _;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::{error::Error, settings::Tls};

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::File {
        path: path.to_owned(),
        error,
    })
}

/// A certificate and its key, in PEM form.
struct Pair {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// The client's own.
fn identity(tls: &Tls) -> Result<Option<Pair>, Error> {
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => Ok(Some(Pair {
            cert: read(cert)?,
            key: read(key)?,
        })),
        (None, None) => Ok(None),
        _ => Err(Error::HalfIdentity),
    }
}

/// For gRPC.
pub fn for_grpc(tls: &Tls) -> Result<ClientTlsConfig, Error> {
    // Says what is wrong with the files; that of gRPC would at the first request.
    for_http(tls)?;
    let mut config = match &tls.ca {
        Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let Some(Pair { cert, key }) = identity(tls)? {
        config = config.identity(Identity::from_pem(cert, key));
    }
    Ok(config)
}

/// For HTTP.
pub fn for_http(tls: &Tls) -> Result<ClientConfig, Error> {
    let bad = |error: &dyn std::fmt::Display| Error::Tls(error.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(&error))?;
    let builder = match &tls.ca {
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(&read(ca)?)? {
                roots.add(certificate).map_err(|error| bad(&error))?;
            }
            builder.with_root_certificates(roots)
        }
        None => builder.with_native_roots().map_err(|error| bad(&error))?,
    };
    match identity(tls)? {
        Some(Pair { cert, key }) => {
            let key = PrivateKeyDer::from_pem_slice(&key)
                .map_err(|error| Error::Tls(format!("no private key: {error}")))?;
            builder
                .with_client_auth_cert(certificates(&cert)?, key)
                .map_err(|error| bad(&error))
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bad = |what: String| Error::Tls(format!("no certificates in PEM form: {what}"));
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| bad(error.to_string()))?;
    match all.is_empty() {
        true => Err(bad("there are none".to_owned())),
        false => Ok(all),
    }
}

/// For HTTP without TLS, where the connector wants a configuration all the same: it trusts nobody.
pub fn for_nobody() -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Tls(error.to_string()))?;
    let roots = RootCertStore::empty();
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
