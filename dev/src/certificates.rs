//! Keys and certificates of one cluster.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// The authority that signed everything else.
pub(crate) const CA_CERTIFICATE: &str = "ca.crt";
/// Signs the tokens of service accounts.
pub(crate) const SERVICE_ACCOUNT_KEY: &str = "service-account.key";
/// Checks the tokens of service accounts.
pub(crate) const SERVICE_ACCOUNT_PUBLIC_KEY: &str = "service-account.pub";

/// A certificate `<name>.crt` and its key `<name>.key`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) name: &'static str,
    user: &'static str,
    group: Option<&'static str>,
}

/// What kube-apiserver serves with.
pub(crate) const APISERVER: Identity = Identity { name: "kube-apiserver", user: "kube-apiserver", group: None };
/// May do everything.
pub(crate) const ADMIN: Identity = Identity { name: "admin", user: "admin", group: Some("system:masters") };
/// The user that the built-in RBAC knows as kube-controller-manager.
pub(crate) const CONTROLLER_MANAGER: Identity =
    Identity { name: "kube-controller-manager", user: "system:kube-controller-manager", group: None };

impl Identity {
    pub(crate) fn certificate(self) -> String {
        format!("{}.crt", self.name)
    }

    pub(crate) fn key(self) -> String {
        format!("{}.key", self.name)
    }

    fn params(self, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.user);
        if let Some(group) = self.group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params
    }
}

/// Writes everything that the cluster's processes need into `dir`.
pub(crate) fn write(dir: &Path) -> Result<()> {
    generate(dir).context("cannot generate the cluster's certificates")
}

fn generate(dir: &Path) -> Result<()> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "local cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    fs::write(dir.join(CA_CERTIFICATE), authority.pem())?;

    let mut serving = APISERVER.params(ExtendedKeyUsagePurpose::ServerAuth);
    serving.subject_alt_names = CertificateParams::new([
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
        "localhost".to_owned(),
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        "kubernetes.default.svc.cluster.local".to_owned(),
    ])?
    .subject_alt_names;
    issue(dir, APISERVER, &serving, &authority)?;
    for client in [ADMIN, CONTROLLER_MANAGER] {
        let params = client.params(ExtendedKeyUsagePurpose::ClientAuth);
        issue(dir, client, &params, &authority)?;
    }

    let tokens = KeyPair::generate()?;
    fs::write(dir.join(SERVICE_ACCOUNT_KEY), tokens.serialize_pem())?;
    fs::write(dir.join(SERVICE_ACCOUNT_PUBLIC_KEY), tokens.public_key_pem())?;
    Ok(())
}

fn issue(
    dir: &Path,
    identity: Identity,
    params: &CertificateParams,
    authority: &CertifiedIssuer<'_, KeyPair>,
) -> Result<()> {
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    fs::write(dir.join(identity.certificate()), certificate.pem())?;
    fs::write(dir.join(identity.key()), key.serialize_pem())?;
    Ok(())
}
