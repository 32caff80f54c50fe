//! Certificate authorities that are trusted in addition, from PEM.

use anyhow::{Context, Result, ensure};
use reqwest::Certificate;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// The certificates in `pem`; what else is in it, such as comments, is passed over.
///
/// # Errors
/// One can't be read, by its number from 1, or there is none.
pub fn authorities(pem: &[u8]) -> Result<Vec<Certificate>> {
    // TLS would find out too, but couldn't say whose fault it is.
    let mut trusted = RootCertStore::empty();
    let mut certificates = Vec::new();
    for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
        let certificate = certificate.with_context(|| format!("certificate {number} isn't PEM"))?;
        trusted.add(certificate.clone()).with_context(|| format!("certificate {number} can't be read"))?;
        certificates.push(Certificate::from_der(&certificate)?);
    }
    ensure!(
        !certificates.is_empty(),
        "there is no certificate in it: it has to be PEM, with a line -----BEGIN CERTIFICATE----- before each"
    );
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert.pem()
    }

    #[test]
    fn a_bundle_may_have_more_than_certificates() {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let bundle = format!("# ours\n{}\n{key}{}", certificate(), certificate());
        assert_eq!(authorities(bundle.as_bytes()).unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_certificate_is_named() {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let begin = "-----BEGIN CERTIFICATE-----";
        let end = "-----END CERTIFICATE-----\n";
        let (not_base64, not_der) = (format!("{begin}\n!\n{end}"), format!("{begin}\naGk=\n{end}"));
        for (pem, said) in [
            ("", "there is no certificate in it"),
            ("not pem", "there is no certificate in it"),
            (key.as_str(), "there is no certificate in it"),
            (not_base64.as_str(), "certificate 1 isn't PEM"),
            (not_der.as_str(), "certificate 1 can't be read"),
            (&format!("{}{not_der}", certificate()), "certificate 2 can't be read"),
            (&format!("{}{begin}\naGk=", certificate()), "certificate 2 isn't PEM"),
        ] {
            let told = format!("{:#}", authorities(pem.as_bytes()).unwrap_err());
            assert!(told.contains(said), "{told}");
        }
    }
}
