//! Instances with a tag or a label: <https://www.vultr.com/api/#operation/list-instances>.

use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::ask::{Answer, Asker, listed};
use super::{AddressKind, Cloud, Machine, Page, Trouble, pages, token};

const USUAL: &str = "https://api.vultr.com";
/// The most that it gives in one page.
const PER_PAGE: &str = "500";

/// The instances that run, with this tag and this label.
pub(super) async fn machines(
    cloud: &Cloud,
    (tag, label): (Option<&str>, Option<&str>),
    token: &token::Place,
    asker: &Asker,
) -> Result<Vec<Machine>, Trouble> {
    let bearer = token.bearer(asker.until()).await?;
    pages(async |cursor: Option<String>| {
        let mut query = Serializer::new(String::new());
        query.append_pair("per_page", PER_PAGE);
        let chosen =
            [("tag", tag), ("label", label), ("region", cloud.region.as_deref()), ("cursor", cursor.as_deref())];
        for (key, value) in chosen {
            if let Some(value) = value {
                query.append_pair(key, value);
            }
        }
        let url = format!("{}/v2/instances?{}", cloud.endpoint(USUAL), query.finish());
        read(&asker.get(url, &bearer).await?, cloud, (tag, label))
    })
    .await
}

#[derive(Deserialize)]
struct Listed {
    instances: Vec<Instance>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Deserialize, Default)]
struct Meta {
    #[serde(default)]
    links: Links,
}

#[derive(Deserialize, Default)]
struct Links {
    /// A cursor, and empty on the last page.
    next: Option<String>,
}

#[derive(Deserialize)]
struct Instance {
    label: String,
    region: String,
    status: String,
    power_status: String,
    #[serde(default)]
    tags: Vec<String>,
    /// Empty where the machine is in no private network.
    #[serde(default)]
    internal_ip: String,
    #[serde(default)]
    main_ip: String,
    #[serde(default)]
    v6_main_ip: String,
}

fn read(answer: &Answer, cloud: &Cloud, (tag, label): (Option<&str>, Option<&str>)) -> Result<Page<String>, Trouble> {
    let listed: Listed = listed(answer, "Vultr", "instances")?;
    // Looked at here as well: an interface that does not know a filter any more gives all that there is.
    let meant = |instance: &Instance| {
        let tagged = tag.is_none_or(|tag| instance.tags.iter().any(|own| own == tag));
        let labelled = label.is_none_or(|label| instance.label == label);
        let here = cloud.region.as_ref().is_none_or(|region| *region == instance.region);
        tagged && labelled && here && instance.status == "active" && instance.power_status == "running"
    };
    let machines =
        listed.instances.into_iter().filter(meant).map(|instance| machine(instance, cloud.address)).collect();
    Ok(Page { machines, next: listed.meta.links.next.filter(|next| !next.is_empty()) })
}

fn machine(instance: Instance, address: AddressKind) -> Machine {
    let address = match address {
        AddressKind::PrivateV4 => instance.internal_ip,
        AddressKind::PublicV4 => instance.main_ip,
        AddressKind::V6 => instance.v6_main_ip,
    };
    Machine { name: instance.label, addresses: vec![address] }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, passing};
    use super::*;

    fn read_for(spec: &str, status: u16, body: &str) -> Result<Page<String>, Trouble> {
        read(&answer(status, body), &super::super::read(spec).expect("reads"), (Some("managers"), None))
    }

    const SPEC: &str = "provider=vultr region=atl tag=managers";

    /// In the shape of the documentation, without what is not read here.
    fn instance(label: &str, power: &str, region: &str, tag: &str) -> String {
        format!(
            r#"{{"id":"4f0f12e5-1f84-404f-aa84-85f431ea5ec2","os":"CentOS 8 Stream","ram":1024,"main_ip":"192.0.2.123","vcpu_count":1,
            "region":"{region}","plan":"vc2-1c-1gb","date_created":"2020-10-10T01:56:20+00:00","status":"active","power_status":"{power}",
            "server_status":"ok","v6_main_ip":"2001:0db8:1112:18fb:0200:00ff:fe00:0000","v6_network_size":64,"label":"{label}",
            "internal_ip":"10.99.0.3","hostname":"my_hostname","tag":"{tag}","tags":["a tag","{tag}"],"features":[]}}"#
        )
    }

    #[test]
    fn instances_that_run_and_carry_it_are_meant_whatever_was_filtered_there() {
        let all = [
            instance("one", "running", "atl", "managers"),
            instance("off", "stopped", "atl", "managers"),
            instance("elsewhere", "running", "ams", "managers"),
            instance("other", "running", "atl", "web"),
        ];
        let body = format!(
            r#"{{"instances":[{}],"meta":{{"total":4,"links":{{"next":"bmV4dA==","prev":""}}}}}}"#,
            all.join(",")
        );
        for (kind, address) in [
            ("private_v4", "10.99.0.3"),
            ("public_v4", "192.0.2.123"),
            ("public_v6", "2001:0db8:1112:18fb:0200:00ff:fe00:0000"),
        ] {
            let page = read_for(&format!("{SPEC} addr_type={kind}"), 200, &body).expect("reads");
            assert_eq!(page.machines, [Machine { name: "one".into(), addresses: vec![address.into()] }]);
            assert_eq!(page.next.as_deref(), Some("bmV4dA=="));
        }
        let body = r#"{"instances":[],"meta":{"total":0,"links":{"next":"","prev":""}}}"#;
        assert_eq!(read_for(SPEC, 200, body), Ok(Page { machines: vec![], next: None }));
    }

    #[test]
    fn what_is_no_list_of_instances_is_not_taken_for_an_empty_one() {
        for body in ["", "{}", "[1]", "<html>", r#"{"instances":"none"}"#, r#"{"instances":[{"label":["a"]}]}"#] {
            assert!(passing(read_for(SPEC, 200, body)).contains("no list of instances"), "{body}");
        }
        let refused = r#"{"error":"Invalid API token.","status":401}"#;
        assert!(passing(read_for(SPEC, 401, refused)).contains("the token is not good"));
    }
}
