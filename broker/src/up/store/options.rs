//! Which options of an object store may be arguments.
//!
//! Keeps promise 7: every user of a machine can read arguments. What may be one is listed, by the option and not by one of its
//! names: what a later library knows besides can be a secret.

use object_store::ClientConfigKey;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;

/// Whether the store knows this option, and it may be an argument.
pub(super) fn check(scheme: &str, key: &str) -> Result<(), String> {
    let public = match scheme {
        "s3" => key.parse().ok().map(of_s3),
        "gs" => key.parse().ok().map(of_google),
        _ => key.parse().ok().map(of_azure),
    };
    let shown = key.escape_debug();
    match public {
        Some(true) => Ok(()),
        Some(false) => Err(format!(
            "--store-option {shown}: what it holds can be a secret, and an argument can be read by every user of this machine. Set \
             it in the environment (AWS_SECRET_ACCESS_KEY and the like), or give the machine a role"
        )),
        None => Err(format!("--store-option {shown}: there is no such option for {scheme}://")),
    }
}

fn of_s3(key: AmazonS3ConfigKey) -> bool {
    use AmazonS3ConfigKey as Key;
    match key {
        Key::AccessKeyId
        | Key::Region
        | Key::DefaultRegion
        | Key::Endpoint
        | Key::S3Endpoint
        | Key::StsEndpoint
        | Key::MetadataEndpoint
        | Key::ImdsV1Fallback
        | Key::VirtualHostedStyleRequest
        | Key::UnsignedPayload
        | Key::Checksum
        | Key::ContainerCredentialsRelativeUri
        | Key::ContainerCredentialsFullUri
        | Key::ContainerAuthorizationTokenFile
        | Key::WebIdentityTokenFile
        | Key::RoleArn
        | Key::RoleSessionName
        | Key::ConditionalPut
        | Key::SkipSignature
        | Key::S3Express
        | Key::RequestPayer => true,
        // One of these is a key of the customer's. They have no names of their own outside of the library.
        Key::Encryption(_) => ENCRYPTION.contains(&key.as_ref()),
        Key::Client(key) => of_any(key),
        _ => false,
    }
}

fn of_google(key: GoogleConfigKey) -> bool {
    use GoogleConfigKey as Key;
    match key {
        // These two are paths.
        Key::ServiceAccount | Key::ApplicationCredentials | Key::BaseUrl | Key::SkipSignature => true,
        Key::Client(key) => of_any(key),
        _ => false,
    }
}

fn of_azure(key: AzureConfigKey) -> bool {
    use AzureConfigKey as Key;
    match key {
        Key::AccountName
        | Key::ClientId
        | Key::AuthorityId
        | Key::AuthorityHost
        | Key::UseEmulator
        | Key::Endpoint
        | Key::MsiEndpoint
        | Key::ObjectId
        | Key::MsiResourceId
        | Key::FederatedTokenFile
        | Key::UseAzureCli
        | Key::SkipSignature
        | Key::CredentialType => true,
        Key::Client(key) => of_any(key),
        _ => false,
    }
}

/// How objects are to be encrypted, without the key for it.
const ENCRYPTION: [&str; 3] = ["aws_server_side_encryption", "aws_sse_kms_key_id", "aws_sse_bucket_key_enabled"];

/// The URL of a proxy may have a password in it.
fn of_any(key: ClientConfigKey) -> bool {
    use ClientConfigKey as Key;
    matches!(
        key,
        Key::AllowHttp
            | Key::AllowInvalidCertificates
            | Key::ConnectTimeout
            | Key::Timeout
            | Key::Http1Only
            | Key::Http2Only
            | Key::ProxyCaCertificate
            | Key::ProxyExcludes
            | Key::UserAgent
    )
}
